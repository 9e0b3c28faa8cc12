"""The commented file that `tokenward init` writes says what the program really does."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from tokenward.settings import example_text, load
from tokenward.settings.names import ANY_NAME, SHAPE, dotted_names
from tokenward.settings.shape import Written


def uncommented() -> str:
    """The example with every commented setting switched on (prose has a space after its #)."""
    return re.sub(r"(?m)^#(?=[a-z\[])", "", example_text())


def names_in(value: object, at: str = "") -> set[str]:
    """The dotted names that a TOML document sets."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return set().union(*(names_in(item, at) for item in value))
    if not isinstance(value, dict):
        return {at}
    names: set[str] = set()
    for name, inner in value.items():
        step = ANY_NAME.get(at, name)
        names |= names_in(inner, f"{at}.{step}" if at else step)
    return names


def test_the_example_loads_as_it_is_and_names_one_provider(tmp_path: Path) -> None:
    path = tmp_path / "tokenward.toml"
    path.write_text(example_text(), "utf-8")
    settings = load(path, {})
    assert [provider.name for provider in settings.providers] == ["openai"]
    assert settings.admin.token == "file:data/admin.token"
    assert settings.server == Written().server


def test_every_setting_stands_in_the_example_and_nothing_else_does(tmp_path: Path) -> None:
    assert names_in(tomllib.loads(uncommented())) == set(dotted_names(SHAPE))
    path = tmp_path / "tokenward.toml"
    path.write_text(uncommented(), "utf-8")
    load(path, {})


@pytest.mark.parametrize("section", ["server", "network", "policy", "ledger", "records"])
def test_what_the_example_shows_commented_is_the_default(section: str) -> None:
    shown = tomllib.loads(uncommented())[section]
    shown.pop("project", None)  # a table of an example project
    assert msgspec.convert(shown, type(getattr(Written(), section))) == getattr(Written(), section)


def test_the_thresholds_shown_are_the_default() -> None:
    shown = tomllib.loads(uncommented())["alerts"]["thresholds"]
    assert tuple(shown) == Written().alerts.thresholds


def test_no_line_of_the_example_is_too_long_to_read() -> None:
    assert max(map(len, example_text().splitlines())) <= 100
