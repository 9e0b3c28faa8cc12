"""Names of accounts, projects and keys."""

import pytest

from tokenward.kernel.names import check_name, valid_name


@pytest.mark.parametrize("name", ["a", "default", "Team-1.eu_west", "x" * 64])
def test_plain_names_are_valid(name: str) -> None:
    assert valid_name(name)
    assert check_name(name, "a project") == name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "...", "x" * 65, "a b", "a/b", "a:b", "a\n", "é", "a\x00", "٣",
        "'; DROP TABLE keys;--",
    ],
)  # fmt: skip
def test_anything_else_is_an_error_that_says_what_is_allowed(name: str) -> None:
    assert not valid_name(name)
    with pytest.raises(ValueError, match="cannot be a project; use 1 to 64"):
        check_name(name, "a project")
