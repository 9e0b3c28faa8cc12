"""Scopes: what they say, and that they only shrink."""

import pytest

from tokenward.keys.scopes import Scope, narrowed, read_scope


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("", Scope()),
        ("offline_access", Scope(True)),
        ("model:gpt-*", Scope(False, ("gpt-*",))),
        ("model:a offline_access model:b model:a", Scope(True, ("a", "b"))),
    ],
)
def test_a_scope_is_read(text: str, scope: Scope) -> None:
    assert read_scope(text) == scope
    assert read_scope(scope.text) == scope


@pytest.mark.parametrize(
    "text",
    ["admin", "openid", "model:", "model: x", " ", "a  b", "model:é", "model:\"", "x" * 513,
     "offline_access ", "model:" + "x" * 200, "MODEL:x"],
)  # fmt: skip
def test_an_unknown_or_odd_scope_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_scope(text)


@pytest.mark.parametrize(
    ("granted", "asked", "left"),
    [
        ("", "", ""),
        ("", "model:x", "model:x"),
        ("", "offline_access", None),
        ("offline_access", "", ""),
        ("offline_access model:a", "offline_access", "offline_access model:a"),
        ("model:a model:b", "", "model:a model:b"),
        ("model:a model:b", "model:b", "model:b"),
        ("model:a", "model:b", None),
        ("model:gpt-*", "model:gpt-5", "model:gpt-5"),
        ("model:gpt-*", "model:gpt-*", "model:gpt-*"),
        ("model:gpt-*", "model:*", None),
        ("model:gpt-*", "model:gpt-5*", None),  # whether one glob is inside another is not asked
        ("model:gpt-*", "model:gpt-[5]", None),
        ("model:a", "model:a model:b", None),
    ],
)  # fmt: skip
def test_scope_only_shrinks(granted: str, asked: str, left: str | None) -> None:
    became = narrowed(read_scope(granted), read_scope(asked))
    assert (None if became is None else became.text) == left
