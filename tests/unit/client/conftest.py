"""No test touches the holders or the keystore of whoever runs it."""

from pathlib import Path

import keyring
import pytest
from keyring.backends import fail


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a system without a keystore."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TOKENWARD_HOME", str(folder))
    monkeypatch.delenv("TOKENWARD_HOLDER_FILE", raising=False)
    monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())
    return folder
