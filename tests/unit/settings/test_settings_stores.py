from pathlib import Path

import pytest

from tokenward.kernel.errors import SettingsError
from tokenward.settings import load
from tokenward.settings.stores import hot_url, records_url

PLAIN = "[store]\nrecords = 'postgresql://u:canary@db/x'\nhot = 'valkey://:canary@v:6379'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokenward.toml"


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_without_the_table_everything_is_on_this_machine(file: Path) -> None:
    settings = load(written(file, ""), {})
    assert (records_url(settings, {}), hot_url(settings, {})) == (None, None)


def test_urls_can_stand_in_the_file_and_are_secrets_from_then_on(file: Path) -> None:
    settings = load(written(file, PLAIN), {})
    records, hot = records_url(settings, {}), hot_url(settings, {})
    assert records is not None
    assert hot is not None
    assert records.reveal() == "postgresql://u:canary@db/x"
    assert hot.reveal() == "valkey://:canary@v:6379"
    assert "canary" not in f"{records} {hot!r}"


def test_urls_can_stand_elsewhere(file: Path) -> None:
    secret = file.parent / "valkey.url"
    secret.write_text("valkeys://v:6380\n")
    secret.chmod(0o600)
    settings = load(written(file, "[store]\nrecords = 'env:DB'\nhot = 'file:valkey.url'\n"), {})
    records, hot = records_url(settings, {"DB": "postgres://db/x"}), hot_url(settings, {})
    assert (records and records.reveal(), hot and hot.reveal()) == (
        "postgres://db/x", "valkeys://v:6380",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("records = 'mysql://canary@x'", "store.records: must be a URL that begins with postgres"),
        ("records = 'postgresql://'", "store.records: must be a URL"),
        ("records = 'env:DB'\nhot = 'valkey+cluster://canary'", "store.hot: must be a URL"),
        ("hot = 'valkey://x'", "store.hot: without store.records"),
        ("records = 'env:DB'\nhot = 'http://canary'", "store.hot: must be a URL that begins with"),
    ],
)
def test_what_cannot_be_is_told_without_repeating_it(file: Path, text: str, part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(file, f"[store]\n{text}\n"), {})
    assert part in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_url_that_stands_elsewhere_is_looked_at_when_it_is_read(file: Path) -> None:
    settings = load(written(file, "[store]\nrecords = 'env:DB'\n"), {})
    with pytest.raises(SettingsError, match=r"store\.records: the environment variable DB"):
        records_url(settings, {})
    with pytest.raises(SettingsError, match=r"store\.records: must be a URL") as caught:
        records_url(settings, {"DB": "canary"})
    assert "canary" not in str(caught.value)
