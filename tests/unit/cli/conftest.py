"""A folder after `tokenward init`."""

from pathlib import Path

import pytest

from unit.cli.command import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on fresh settings, with no guard running."""
    made = Shell(tmp_path, {"OPENAI_API_KEY": "sk-not-real"})
    assert made("init").status == 0
    return made
