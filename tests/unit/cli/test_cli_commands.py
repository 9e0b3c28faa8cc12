"""Every verb without a guard: the same admin API, in the command's own process."""

from pathlib import Path

import pytest

from unit.cli.command import Shell


def _create(shell: Shell, *more: str) -> dict[str, object]:
    made: dict[str, object] = shell.json("key", "create", "--project", "demo", *more)
    return made


def test_a_key_is_printed_once_with_its_caps(shell: Shell) -> None:
    made = _create(shell, "--cap", "5.00/day", "--cap", "1000tok/hour", "--name", "ci")
    assert str(made["key"]).startswith(f"tw_sk_{made['id']}")
    assert len(made["caps"]) == 2
    assert "key" not in shell.json("key", "show", str(made["id"]))
    screen = shell("key", "create", "--project", "demo").out
    assert screen.splitlines()[0].startswith("tw_sk_")
    assert "shown only now" in screen


def test_a_key_without_a_cap_says_so_beside_the_answer(shell: Shell) -> None:
    assert "tokenward cap set key:" in shell("key", "create", "--project", "demo").err
    assert shell("key", "create", "--project", "demo", "--json").err == ""


def test_every_caveat_can_be_given(shell: Shell) -> None:
    made = _create(
        shell,
        *("--model", "gpt-5-*", "--model", "o3", "--route", "/v1/chat/*", "--cidr", "10.0.0.0/8"),
        *("--expires", "30d", "--max-call", "0.50", "--rpm", "60", "--tpm", "1000"),
        *("--concurrency", "2", "--account", "acme"),
    )
    shown = shell.json("key", "show", str(made["id"]))
    assert shown["account"] == "acme"
    assert shown["caveats"]["models"] == ["gpt-5-*", "o3"]
    assert shown["caveats"]["max_call_nusd"] == 500_000_000
    screen = shell("key", "show", str(made["id"])).out
    assert "max_call $0.50" in screen


def test_a_key_lives_freezes_thaws_rotates_and_dies(shell: Shell) -> None:
    key = str(_create(shell)["id"])
    assert shell.json("key", "freeze", key, "--why", "odd")["frozen_why"] == "odd"
    assert shell.json("key", "list")[0]["state"] == "frozen"
    assert shell.json("key", "unfreeze", key)["state"] == "live"
    assert shell.json("key", "rotate", key, "--grace", "1h")["id"] == key
    assert shell.json("key", "revoke", key)["state"] == "revoked"
    refused = shell("key", "unfreeze", key, "--json")
    assert (refused.status, refused.error["code"]) == (1, "key:revoked")


def test_screens_of_a_keys_life_are_one_plain_line(shell: Shell) -> None:
    key = str(_create(shell)["id"])
    assert shell("key", "freeze", key).out == (
        f"Key {key} is frozen. Undo: tokenward key unfreeze {key}\n"
    )
    assert shell("key", "unfreeze", key).out == f"Key {key} is live.\n"
    assert shell("key", "revoke", key).out == f"Key {key} is revoked.\n"


def test_a_whole_key_stops_itself_and_is_not_repeated(shell: Shell) -> None:
    made = _create(shell)
    done = shell("key", "revoke", str(made["key"]))
    assert done.status == 0
    assert str(made["key"]) not in done.out + done.err
    assert shell.json("key", "list")[0]["state"] == "revoked"


def test_caps_are_set_listed_and_removed(shell: Shell) -> None:
    made = shell.json("cap", "set", "project:demo", "20.00/day", "--model", "gpt-*")
    assert (made["limit"], made["model"]) == (20_000_000_000, "gpt-*")
    screen = shell("cap", "list").out
    assert "project:demo on gpt-*" in screen
    assert "$20.00/day" in screen
    missed = shell("cap", "remove", "project:demo", "20.00/day", "--json")
    assert (missed.status, missed.error["code"]) == (1, "cap:unknown")
    gone = shell.json("cap", "remove", "project:demo", "1.00/day", "--model", "gpt-*")
    assert gone == {"removed": True}
    assert shell.json("cap", "list") == []
    shell.json("cap", "set", "project:demo", "500req/minute", "--throttle")
    words = ("cap", "remove", "project:demo", "--window", "minute", "--unit", "requests")
    assert shell(*words).status == 0


def test_credit_and_accounts(shell: Shell) -> None:
    assert shell.json("account", "create", "acme")["credit_nusd"] is None
    assert shell.json("credit", "add", "acme", "50.00")["credit_nusd"] == 50_000_000_000
    assert "$50.00" in shell("account", "list").out
    again = shell("account", "create", "acme", "--json")
    assert (again.status, again.error["code"]) == (1, "account:exists")
    assert shell("credit", "add", "nobody", "1").status == 1


@pytest.mark.parametrize(
    "words",
    [
        ("cap", "set", "project:demo", "20.00/fortnight"),
        ("key", "create", "--project", "two words"),
        ("credit", "add", "default", "lots"),
        ("usage", "--since", "yesterday"),
        ("events", "--limit", "0"),
    ],
    ids=" ".join,
)
def test_values_that_cannot_be_are_wrong_usage(shell: Shell, words: tuple[str, ...]) -> None:
    done = shell(*words, "--json")
    assert (done.status, done.error["code"]) == (2, "request:invalid")


@pytest.mark.parametrize(
    ("words", "next_step"),
    [
        (("key", "list"), "tokenward key create"),
        (("cap", "list"), "tokenward cap set"),
        (("records",), "--since 7d"),
    ],
    ids=str,
)
def test_empty_lists_say_what_to_do_next(
    shell: Shell, words: tuple[str, ...], next_step: str
) -> None:
    assert next_step in shell(*words).out
    assert shell.json(*words) == []


def test_usage_of_nothing_is_zero(shell: Shell) -> None:
    usage = shell.json("usage", "--by", "key", "--since", "24h")
    assert (usage["cost_nusd"], usage["calls"], usage["rows"]) == (0, 0, [])
    assert usage["since"].endswith("Z")
    assert "Nothing was spent" in shell("usage").out


@pytest.mark.req("F-3")
def test_reconcile_is_one_command(shell: Shell) -> None:
    assert shell.json("cap", "reconcile") == {"corrected": 0}
    assert "nothing to correct" in shell("cap", "reconcile").out


def test_doctor_is_content_after_init(shell: Shell) -> None:
    value = shell.json("doctor", "--audit")
    assert value["ok"], value
    names = [check["name"] for check in value["checks"]]
    for name in ("settings", "secrets", "disk", "prices", "providers", "guard", "clock", "ledger"):
        assert name in names
    assert "All is well." in shell("doctor").out


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (lambda shell: shell.environ.pop("OPENAI_API_KEY"), "providers"),
        (lambda shell: (shell.folder / "data" / "pepper").chmod(0o644), "secrets"),
        (lambda shell: (shell.folder / "data").chmod(0o755), "secrets"),
        (lambda shell: (shell.folder / "data" / "admin.token").unlink(), "secrets"),
        (lambda shell: shell.config.write_text("[serv]"), "settings"),
        (lambda shell: _append(shell.config, '[[provider]]\nname = "x"\ndialect = "openai"\n'
         'base_url = "http://127.0.0.1:9"\ncredential = "none"\nmodels = ["no-such"]\n'), "prices"),
    ],
)  # fmt: skip
def test_doctor_names_what_is_wrong_and_exits_1(shell: Shell, harm, name: str) -> None:
    harm(shell)
    done = shell("doctor", "--json")
    assert done.status == 1
    wrong = [check["name"] for check in done.value["checks"] if not check["ok"]]
    assert name in wrong
    assert not done.value["ok"]
    assert "to put right" in shell("doctor").out


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + "\n" + text)
