"""Every verb without a guard: the same admin API, in the command's own process."""

import re
from pathlib import Path

import pytest

from tokenward.cli import records, usage
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


def test_a_key_to_which_no_cap_applies_is_warned_of_beside_the_answer(shell: Shell) -> None:
    warned = shell("key", "create", "--project", "demo", "--cap", "none")
    key = warned.out.split("This is key ")[1].split()[0]
    assert warned.err.startswith("Warning: no cap applies to this key.")
    assert f"tokenward cap set key:{key} 5.00/day" in warned.err
    assert "tokenward cap set project:demo" in warned.err
    assert shell("key", "create", "--project", "demo", "--cap", "none", "--json").err == ""
    assert shell("key", "create", "--project", "demo", "--cap", "5.00/day").err == ""


@pytest.mark.parametrize("cap", ["5.00/day", "1000tok/day", "500req/day"])
def test_a_key_that_shares_a_cap_is_told_whose(shell: Shell, cap: str) -> None:
    shell.json("cap", "set", "project:demo", cap)
    shell.json("cap", "set", "account:default", cap)
    said = shell("key", "create", "--project", "demo", "--cap", "none").err
    assert "shares what project:demo and account:default may spend" in said
    other = shell("key", "create", "--project", "other", "--cap", "none").err
    assert "shares what account:default may spend" in other


def test_a_cap_on_some_models_is_no_cap_on_the_others(shell: Shell) -> None:
    shell.json("cap", "set", "project:demo", "5.00/day", "--model", "gpt-5*")
    said = shell("key", "create", "--project", "demo", "--cap", "none").err
    assert "Warning: no cap applies" in said


@pytest.mark.req("K-9")
def test_a_bearer_key_is_marked_and_gets_the_small_cap_of_the_settings(shell: Shell) -> None:
    made = shell("key", "create", "--project", "demo")
    assert "It is a bearer key: whoever copies it can spend with it." in made.out
    assert "$10.00" in made.out
    assert made.err == ""
    (cap,) = shell.json("cap", "list")
    assert (cap["limit"], cap["window"]) == (10_000_000_000, "day")
    (key,) = shell.json("key", "list")
    assert (key["bind"], cap["subject"]) == ("none", f"key:{key['id']}")
    assert "bearer" in shell("key", "list").out


@pytest.mark.req("K-9")
def test_a_bearer_key_that_names_its_own_cap_gets_no_other(shell: Shell) -> None:
    made = shell.json("key", "create", "--project", "demo", "--cap", "500req/day")
    assert [cap["unit"] for cap in made["caps"]] == ["requests"]
    assert shell.json("key", "create", "--project", "demo", "--cap", "none")["caps"] == []


@pytest.mark.req("K-9")
def test_a_bound_key_needs_no_cap_and_comes_with_a_code_for_its_holder(shell: Shell) -> None:
    made = shell.json("key", "create", "--project", "demo", "--bind", "dpop")
    assert made["caps"] == []
    assert made["enrolment_code"].startswith("tw_ec_")
    screen = shell("key", "create", "--project", "demo", "--bind", "dpop+body")
    assert screen.out.startswith("tw_ec_")
    assert "Its holder can spend without limit" in screen.err
    assert [key["bind"] for key in shell.json("key", "list")] == ["dpop", "dpop+body"]


@pytest.mark.req("K-9")
def test_a_key_gets_another_holder_and_a_bearer_key_can_be_bound(shell: Shell) -> None:
    key = shell.json("key", "create", "--project", "demo")["id"]
    anew = shell.json("key", "enrol", key)
    assert (anew["id"], anew["bind"]) == (key, "dpop")
    assert anew["enrolment_code"].startswith("tw_ec_")
    assert shell.json("key", "enrol", key, "--bind", "mtls")["bind"] == "mtls"
    refused = shell("key", "enrol", key, "--bind", "none")
    assert refused.status == 2
    assert "bind must be one of" in refused.err


@pytest.mark.req("K-9")
def test_a_holder_can_be_named_at_once_by_its_thumbprint(shell: Shell) -> None:
    holder = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    made = shell.json("key", "create", "--project", "p", "--bind", "dpop", "--thumbprint", holder)
    assert (made["holder"], made["enrolment_code"]) == (holder, None)
    wrong = shell("key", "create", "--project", "p", "--thumbprint", holder)
    assert wrong.status == 2
    assert "needs a binding" in wrong.err


def test_prepaid_credit_is_a_cap(shell: Shell) -> None:
    shell.json("account", "create", "acme")
    shell.json("credit", "add", "acme", "5.00")
    said = shell("key", "create", "--project", "demo", "--account", "acme", "--cap", "none").err
    assert "shares what account:acme may spend" in said


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


def test_a_cap_on_a_project_that_no_key_has_says_so_beside_the_answer(shell: Shell) -> None:
    early = shell("cap", "set", "project:suport", "20.00/day")
    assert (early.status, early.out.count("project:suport")) == (0, 1)
    assert "No key is of project suport yet" in early.err
    assert shell("cap", "set", "project:suport", "20.00/day", "--json").err == ""
    _create(shell)
    assert shell("cap", "set", "project:demo", "20.00/day").err == ""


@pytest.mark.parametrize("subject", ["project:two/words", "project:..", "account:größe"])
def test_a_cap_on_a_name_that_nobody_can_have_is_wrong_usage(shell: Shell, subject: str) -> None:
    done = shell("cap", "set", subject, "20.00/day")
    assert (done.status, done.out) == (2, "")
    assert "A-Z a-z 0-9" in done.err
    assert shell.json("cap", "list") == []


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


def test_records_say_what_evidence_would_have_done() -> None:
    seen = {"ts": "2026-01-01T00:00:00Z", "outcome": "complete"}
    shown = records._screen([seen, {**seen, "would": "challenge"}, {**seen, "is_estimate": True}])
    became = [line.split("   ")[-1] for line in shown.splitlines()[1:]]
    assert became == ["complete", "complete, would challenge", "complete, cost estimated"]


def test_usage_shows_how_much_of_it_is_estimated() -> None:
    row = {"by": "gpt-5", "cost_nusd": 7, "calls": 3, "input_tokens": 5, "output_tokens": 9}
    shown = {
        "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", **row, "estimates": 2,
        "rows": [{**row, "estimates": 2}],
    }  # fmt: skip
    lines = usage._screen(shown, "model").splitlines()
    assert lines[0].split("   ")[-1] == "ESTIMATED"
    assert lines[1].split()[-1] == "2"
    assert lines[-1].startswith("2 calls are charged at the upper bound")
    shown["estimates"] = 0
    assert "upper bound" not in usage._screen(shown, "model")


def test_usage_of_nothing_is_zero(shell: Shell) -> None:
    used = shell.json("usage", "--by", "key", "--since", "24h")
    assert (used["cost_nusd"], used["calls"], used["estimates"], used["rows"]) == (0, 0, 0, [])
    assert used["since"].endswith("Z")
    assert "Nothing was spent" in shell("usage").out


@pytest.mark.req("F-3")
def test_reconcile_is_one_command(shell: Shell) -> None:
    assert shell.json("cap", "reconcile") == {"corrected": 0}
    assert "nothing to correct" in shell("cap", "reconcile").out


@pytest.mark.parametrize("words", [("key", "list"), ("serve", "--port", "0"), ("doctor",)])
def test_a_data_folder_that_is_not_there_is_told_with_the_verb_that_makes_it(
    shell: Shell, words: tuple[str, ...]
) -> None:
    (shell.folder / "data").rename(shell.folder / "elsewhere")
    done = shell(*words)
    assert done.status == 1
    assert f"here is no data folder {shell.folder}/data" in done.out + done.err
    assert "tokenward init" in done.out + done.err
    assert not (shell.folder / "data").exists(), "nothing is made on the way"


def test_doctor_is_content_after_init(shell: Shell) -> None:
    value = shell.json("doctor", "--audit")
    assert value["ok"], value
    names = [check["name"] for check in value["checks"]]
    for name in (
        "settings", "secrets", "disk", "prices", "networks", "policy", "providers", "guard",
        "clock", "ledger", "incidents",
    ):  # fmt: skip
        assert name in names
    assert "workload" not in names, "there are no rules"
    assert "All is well." in shell("doctor").out


def test_a_ledger_that_was_made_anew_is_only_found_by_a_head_kept_elsewhere(shell: Shell) -> None:
    _create(shell)
    kept = shell.json("doctor", "--audit")["head"]
    assert f"tokenward doctor --audit --head {kept}" in shell("doctor", "--audit").out
    assert shell("doctor", "--audit", "--head", kept).status == 0
    for path in (shell.folder / "data").glob("tokenward.db*"):
        path.unlink()
    _create(shell)
    assert shell.json("doctor", "--audit")["ok"], "a whole new ledger is clean in itself"
    done = shell("doctor", "--audit", "--head", kept, "--json")
    assert (done.status, done.value["ok"], done.value["head"]) == (1, False, None)
    (ledger,) = (check for check in done.value["checks"] if check["name"] == "ledger")
    assert "kept elsewhere" in ledger["why"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--head", "1:" + "0" * 64), "add --audit"),
        (("--audit", "--head", "17"), "64 hexadecimal digits"),
    ],
)
def test_a_head_that_cannot_be_proven_is_wrong_usage(
    shell: Shell, words: tuple[str, ...], why: str
) -> None:
    done = shell("doctor", *words)
    assert (done.status, done.out) == (2, "")
    assert why in done.err


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
        (lambda shell: _append(shell.config, '[[workload]]\nname = "x"\nkind = "oidc"\n'
         'key = "NoSuchKey012"\naudience = "x"\nissuer = "https://a.example"\nsubject = "s"\n'),
         "workload"),
        (lambda shell: _set(shell.config, "country_db", '"gone.mmdb"'), "networks"),
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


def _check(shell: Shell, name: str) -> str:
    (found,) = (each for each in shell.json("doctor")["checks"] if each["name"] == name)
    return str(found["why"])


def test_the_doctor_tells_what_is_known_of_networks_and_what_evidence_may_do(shell: Shell) -> None:
    assert "systems no, kinds no" in _check(shell, "networks")
    assert _check(shell, "policy") == "evidence acts"
    (shell.folder / "hosts.txt").write_text("198.51.100.0/24\n", "ascii")
    _set(shell.config, "datacenters", '["hosts.txt"]')
    _append(
        shell.config,
        '[policy.project.shop]\nmode = "enforce"\n[policy.project.lab]\nkind = "app"\n',
    )
    shell.environ["TOKENWARD_POLICY__MODE"] = "observe"
    assert "kinds yes" in _check(shell, "networks")
    assert _check(shell, "policy") == (
        "evidence is only observed; projects with rules of their own: lab (observe), shop (enforce)"
    )


def _set(path: Path, name: str, value: str) -> None:
    """A setting that the file names in a comment."""
    text = path.read_text()
    assert text.count(f"\n#{name} = ") == 1
    path.write_text(re.sub(f"\n#{name} = .*", f"\n{name} = {value}", text))


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + "\n" + text)
