"""Edits of JSON text that leave every other byte as it was."""

import pytest

from tokenward.providers.json_edit import (
    find_value,
    insert_first,
    insert_nested,
    remove_member,
    replace_value,
)


@pytest.mark.parametrize(
    ("body", "edited"),
    [
        (b"{}", b'{"n":1}'),
        (b"{ }", b'{"n":1 }'),
        (b' \n{"a": 2}', b' \n{"n":1,"a": 2}'),
        (b'{\n  "a":{}\n}\n', b'{"n":1,\n  "a":{}\n}\n'),
    ],
)
def test_a_member_is_inserted_after_the_brace(body: bytes, edited: bytes) -> None:
    assert insert_first(body, "n", 1) == edited


def test_a_nested_object_gets_the_member() -> None:
    body = b'{"x": "stream_options", "stream_options": { "a":[1,{"b":"}\\""}] }, "z":1}'
    assert insert_nested(body, ("stream_options",), "include_usage", True) == (
        b'{"x": "stream_options", "stream_options": {"include_usage":true, '
        b'"a":[1,{"b":"}\\""}] }, "z":1}'
    )


def test_a_value_is_replaced_where_its_name_is_written_with_escapes() -> None:
    body = b'{"max\\u005ftokens" : null, "max_tokens_": [null]}'
    assert replace_value(body, ("max_tokens",), 7) == (
        b'{"max\\u005ftokens" : 7, "max_tokens_": [null]}'
    )


def test_a_name_inside_a_string_or_a_deeper_object_is_not_found() -> None:
    body = b'{"a":"\\"n\\":1","b":{"n":1},"c":["n",{"n":2}]}'
    assert find_value(body, ("n",)) is None
    assert find_value(body, ("b", "n")) == (body.index(b"1},"), body.index(b"},"))
    assert find_value(body, ("a", "n")) is None


@pytest.mark.parametrize(
    ("body", "edited"),
    [
        (b'{"a":1,"usage":null}', b'{"a":1}'),
        (b'{"a":1 , "usage" : null , "b":2}', b'{"a":1  , "b":2}'),
        (b'{"usage":null, "b":2}', b'{"b":2}'),
        (b'{ "usage":null }', b"{  }"),
        (b'{"a":{"usage":null}}', b'{"a":{"usage":null}}'),
    ],
)
def test_a_member_is_removed_with_one_comma(body: bytes, edited: bytes) -> None:
    assert remove_member(body, "usage") == edited


@pytest.mark.parametrize("body", [b"", b"[]", b'{"a"', b'{"a":', b'{"a":1', b"{a:1}", b'{"a":1 2}'])
def test_what_is_no_object_raises(body: bytes) -> None:
    with pytest.raises(ValueError):
        remove_member(body, "usage")


def test_there_must_be_something_to_edit() -> None:
    with pytest.raises(ValueError, match=r"no a\.b"):
        replace_value(b'{"a":1}', ("a", "b"), 1)
    with pytest.raises(ValueError, match="not a JSON object"):
        insert_nested(b'{"a":1}', ("a",), "b", 1)
