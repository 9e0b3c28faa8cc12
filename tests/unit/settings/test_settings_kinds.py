"""A value of the wrong kind is told in plain words: the setting, what it may be, what it is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect

from tokenward.kernel.errors import SettingsError
from tokenward.settings import load
from tokenward.settings.kinds import read_kind
from tokenward.settings.names import ANY_NAME, SHAPE
from tokenward.settings.shape import PolicyProject, Seconds, Text

CANARY = "sk-canary"
ODD = (
    "true",
    "3",
    "-1",
    "1.5",
    "nan",
    "1e-300",
    f'"{CANARY}"',
    '""',
    "[]",
    f'["{CANARY}"]',
    "[3]",
    "[[]]",
    "{}",
    "2026-01-01",
    "12:30:00",
    "0x" + "f" * 9_000,
    '"' + "x" * 2_000 + '"',
    "[" + '"a",' * 300 + "]",
)
NOT_PLAIN = re.compile(r"`|\b(int|str|float|bool|null|None|array|object|regex)\b|\[\.\.\.\]|\$\.")
MADE = {
    "provider": 'name = "a"\ndialect = "openai"\nbase_url = "https://a.example"\n'
    'credential = "none"\nmodels = ["*"]\n',
    "workload": 'name = "a"\nkind = "oidc"\nkey = "k"\n',
    "prices": "input_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n",
}
"""What a table must have before anything else in it is looked at."""


def said(tmp_path: Path, text: str) -> str:
    """What is wrong with these settings; "" if nothing is."""
    file = tmp_path / "tokenward.toml"
    file.write_text(text, "utf-8")
    try:
        load(file, {})
    except SettingsError as error:
        return str(error)
    return ""


def tables() -> Iterator[tuple[str, str, inspect.StructType]]:
    """Every table: its head, how errors name it, what can stand in it."""
    assert isinstance(SHAPE, inspect.StructType)
    for section in SHAPE.fields:
        name, inner = section.encode_name, section.type
        if isinstance(inner, inspect.VarTupleType):
            assert isinstance(inner.item_type, inspect.StructType)
            yield f"[[{name}]]", f"{name}[0]", inner.item_type
        elif isinstance(inner, inspect.DictType):
            assert isinstance(inner.value_type, inspect.StructType)
            yield f"[{name}.x]", f'{name}."x"', inner.value_type
        else:
            assert isinstance(inner, inspect.StructType)
            yield f"[{name}]", name, inner
    yield "[policy.project.x]", 'policy.project."x"', _of_a_project()


def _of_a_project() -> inspect.StructType:
    shape = inspect.type_info(PolicyProject)
    assert isinstance(shape, inspect.StructType)
    return shape


def names() -> list[Any]:
    return [
        pytest.param(head, f"{at}.{field.encode_name}", id=f"{head}{field.encode_name}")
        for head, at, table in tables()
        for field in table.fields
        if f"{at}.{field.encode_name}" not in ANY_NAME
    ]


@pytest.mark.parametrize(("head", "name"), names())
def test_no_odd_value_is_told_in_pythons_words_or_repeated(
    tmp_path: Path, head: str, name: str
) -> None:
    setting = name.rpartition(".")[2]
    made = MADE.get(head.strip("[]").partition(".")[0], "")
    made = re.sub(rf"(?m)^{setting} = .*\n", "", made)
    problems = [said(tmp_path, f"{head}\n{made}{setting} = {odd}\n") for odd in ODD]
    told = [
        problem for problem in problems if re.match(rf".+: {re.escape(name)}\S*: must ", problem)
    ]
    assert len(told) >= 6, "odd values were taken, or something else was told"
    assert [problem for problem in problems if NOT_PLAIN.search(problem)] == []
    assert [problem for problem in told if CANARY in problem or len(problem) > 200] == []


@pytest.mark.parametrize("head", [head for head, _, _ in tables()])
@pytest.mark.parametrize("odd", ["true", "3", f'"{CANARY}"', "2026-01-01", "other"])
def test_what_should_be_a_table_says_how_one_is_written(
    tmp_path: Path, head: str, odd: str
) -> None:
    if odd == "other":
        odd = "{}" if head.startswith("[[") else "[]"
    above, _, last = head.strip("[]").rpartition(".")
    problem = said(tmp_path, f"[{above}]\n{last} = {odd}" if above else f"{last} = {odd}")
    assert ", written [" in problem or ", each written [[" in problem
    assert not NOT_PLAIN.search(problem)
    assert CANARY not in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[policy]\nfalse_challenges_per_key_month = "1%"',
            (
                "policy.false_challenges_per_key_month: must be a number from 0.000001 to 1 "
                "(0.01 is 1 %), not text"
            ),
        ),
        (
            "[policy]\nfalse_freezes_per_key_month = 2",
            (
                "policy.false_freezes_per_key_month: must be a number from 0.000001 to 1 "
                "(0.01 is 1 %), not 2"
            ),
        ),
        ('[policy]\nmode = "on"', "policy.mode: must be one of enforce, observe"),
        ("[policy]\nmode = true", "policy.mode: must be one of enforce, observe, not true"),
        (
            '[policy.project.x]\nkind = "dev"',
            'policy.project."x".kind: must be one of app, developer, public',
        ),
        (
            '[policy.project.x]\nhold_dearer_models = "yes"',
            'policy.project."x".hold_dearer_models: must be true or false, not text',
        ),
        (
            '[policy.project.x]\nhold_dearer_models = "true"',
            (
                'policy.project."x".hold_dearer_models: must be true or false, not text: leave out '
                "the quotes"
            ),
        ),
        (
            '[policy.project.x]\nmod = "observe"',
            (
                'unknown setting policy.project."x".mod; the nearest known one is '
                'policy.project."x".mode'
            ),
        ),
        (
            "[policy]\nproject = 3",
            "policy.project: must be a table, written [policy.project.NAME], not 3",
        ),
        (
            '[policy.project]\nkind = "app"',
            'policy.project."kind": must be a table, written [policy.project."kind"], not text',
        ),
        (
            '[[policy]]\nmode = "observe"',
            "policy: must be a table, written [policy], not a list",
        ),
        (
            '[policy.project."my app"]\nkind = "app"',
            (
                "policy.project: 'my app' cannot be a project's name; use 1 to 64 characters of "
                "A-Z a-z 0-9 . _ -, not only dots"
            ),
        ),
        ("[network]\ntor = true", "network.tor: must be a list, not true"),
        ('[network]\ntor = "exits.txt"', "network.tor: must be a list, not text"),
        ("[network]\nvpns = [3]", "network.vpns[0]: must be text, not a number"),
        ("[network]\nasn_db = ['a']", "network.asn_db: must be text, not a list"),
        ('[network]\nvpns = ["a", ""]', "network.vpns[1]: must not be empty"),
        (
            "[network]\nvpns = [" + '"a",' * 257 + "]",
            "network.vpns: must have at most 256 entries, not 257",
        ),
        (
            f'[network]\nasn_db = "{"a" * 1_025}"',
            "network.asn_db: must have at most 1,024 characters, not 1,025",
        ),
        ("[[provider]]\n" * 257, "provider: must have at most 256 tables, not 257"),
        ("provider = [3]", "provider[0]: must be a table, written [[provider]], not 3"),
    ],
)
def test_the_message_says_what_it_may_be_and_what_it_is(
    tmp_path: Path, text: str, message: str
) -> None:
    assert said(tmp_path, text) == f"tokenward.toml: {message}"


def test_a_variable_says_what_must_stand_in_it() -> None:
    assert read_kind("30", Seconds) == 30
    with pytest.raises(ValueError, match=r"^must be a number from 0 to 86,400$"):
        read_kind("30s", Seconds)
    with pytest.raises(ValueError, match=r"^must be true or false$"):
        read_kind("perhaps", bool)
    with pytest.raises(ValueError, match=r"^must not be empty$"):
        read_kind("", Text)
    with pytest.raises(ValueError, match=r"^must have at most 1,024 characters, not 1,025$"):
        read_kind("x" * 1_025, Text | None)
