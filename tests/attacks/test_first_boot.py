"""The first minutes: nothing starts half-safe, no sample key works, every error says what to do."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from attacks.probe import DIALECTS, ask, new_key, post
from guard import GuardProcess, provider_settings
from house.source import ROOT
from standin import StandinProcess

PUBLISHED_VECTOR = "tw_sk_AbCdEf0123450123456789ABCDEFGHIJKLMNOPQRSTUV1O4WGs"
NOWHERE = provider_settings("http://127.0.0.1:1")
READY = {"PROVIDER_KEY": "sk-x"}


def fails(
    guard: GuardProcess,
    *words: str,
    status: int = 1,
    says: tuple[str, ...] = (),
    ways: tuple[tuple[str, ...], ...] = ((), ("--json",)),
) -> subprocess.CompletedProcess[str]:
    """The command fails with one plain line, for people and, with `--json`, for scripts."""
    for flags in ways:
        done = guard.run(*flags, *words)
        assert (done.returncode, done.stdout) == (status, ""), done
        assert done.stderr.endswith("\n"), done
        assert done.stderr.count("\n") == 1, done
        line = done.stderr.strip()
        if flags:
            error = json.loads(line)["error"]
            assert re.fullmatch(r"[a-z]+:[a-z_]+", error["code"]), error
            line = error["message"]
        else:
            assert line.startswith("tokenward: "), line
        assert 20 < len(line) < 400, line
        for word in says:
            assert word in line, (word, line)
        for alien in ("Traceback", "Error(", "Errno", "<class", "msgspec", "asyncio"):
            assert alien not in line, line
    return done


def without_admin(guard: GuardProcess) -> None:
    settings = guard.folder / "tokenward.toml"
    settings.write_text(
        settings.read_text("utf-8").replace("[admin]\ntoken", "[admin]\n#"), "utf-8"
    )


def admin_token_none(guard: GuardProcess) -> None:
    without_admin(guard)
    settings = guard.folder / "tokenward.toml"
    settings.write_text(settings.read_text("utf-8") + '\ntoken = "none"\n', "utf-8")


def with_line(line: str) -> Callable[[GuardProcess], None]:
    def write(guard: GuardProcess) -> None:
        settings = guard.folder / "tokenward.toml"
        settings.write_text(f"{line}\n{settings.read_text('utf-8')}", "utf-8")

    return write


def admin_token(text: str) -> Callable[[GuardProcess], None]:
    return lambda guard: (guard.folder / "data/admin.token").write_text(text, "ascii") and None


def variable(name: str) -> Callable[[GuardProcess], None]:
    return lambda guard: guard._environ.update({name: "x"})


def gone(name: str) -> Callable[[GuardProcess], None]:
    return lambda guard: (guard.folder / name).unlink()


def open_to_all(name: str) -> Callable[[GuardProcess], None]:
    return lambda guard: (guard.folder / name).chmod(0o644)


def data_is_a_file(guard: GuardProcess) -> None:
    shutil.rmtree(guard.folder / "data")
    (guard.folder / "data").write_text("", "ascii")


def data_is_gone(guard: GuardProcess) -> None:
    shutil.rmtree(guard.folder / "data")


def records_are_rubbish(guard: GuardProcess) -> None:
    for path in (guard.folder / "data").glob("*.db*"):
        path.unlink()
    guard.run("account", "list")
    records = guard.folder / "data" / "tokenward.db"
    records.write_bytes(b"this is no database" * 1000)


WRONG: dict[str, tuple[Callable[[GuardProcess], None], dict[str, str], tuple[str, ...]]] = {
    "no admin token": (without_admin, READY, ("admin.token", "tokenward init")),
    "admin token none": (admin_token_none, READY, ("admin.token", "tokenward init")),
    "admin token empty": (admin_token(""), READY, ("admin.token",)),
    "admin token blank": (admin_token(" \n"), READY, ("admin.token",)),
    "admin token of two words": (admin_token("a b"), READY, ("admin.token", "one word")),
    "admin token file gone": (gone("data/admin.token"), READY, ("admin.token", "tokenward init")),
    "admin token open to all": (open_to_all("data/admin.token"), READY, ("chmod 600",)),
    "pepper gone": (gone("data/pepper"), READY, ("pepper", "tokenward init")),
    "pepper open to all": (open_to_all("data/pepper"), READY, ("pepper", "chmod 600")),
    "no credential": (lambda guard: None, {}, ("PROVIDER_KEY", "export")),
    "an empty credential": (lambda guard: None, {"PROVIDER_KEY": " "}, ("PROVIDER_KEY",)),
    "an unknown table": (with_line("[sever]\nport = 1\n"), READY, ("sever", "server")),
    "an unknown setting": (with_line("[server]\nprot = 1\n"), READY, ("prot", "port")),
    "a wrong type": (with_line('[server]\nport = "x"\n'), READY, ("server.port",)),
    "a port that is none": (with_line("[server]\nport = 70000\n"), READY, ("server.port",)),
    "wrong TOML": (with_line("[server\nport = 1"), READY, ("TOML", "line 1")),
    "a secret in the file": (
        with_line('[[provider]]\nname = "x"\ndialect = "openai"\nbase_url = "https://a.example"\n'
                  'credential = "sk-live-4711"\nmodels = ["x"]\n'),
        READY,
        ("provider[0].credential", "reference"),
    ),
    "an unknown variable": (
        variable("TOKENWARD_SERVER__PROT"),
        READY,
        ("TOKENWARD_SERVER__PROT", "TOKENWARD_SERVER__PORT"),
    ),
    "a wrong variable": (
        variable("TOKENWARD_SERVER__PORT"), READY, ("TOKENWARD_SERVER__PORT",)
    ),
    "no settings": (gone("tokenward.toml"), READY, ("tokenward init",)),
    "no data folder": (data_is_gone, READY, ("data folder", "tokenward init")),
    "a file for a data folder": (data_is_a_file, READY, ("data",)),
    "records that are none": (records_are_rubbish, READY, ("data",)),
}  # fmt: skip


@pytest.mark.req("K-10", "S-5")
@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_safe_does_not_start_and_says_why_in_one_line(
    tmp_path: Path, what: str
) -> None:
    spoil, environ, says = WRONG[what]
    guard = GuardProcess(tmp_path / "guard", NOWHERE, environ)
    spoil(guard)
    done = fails(guard, "serve", "--port", "0", says=says)
    assert "4711" not in done.stderr
    assert guard.admin_token not in done.stderr


@pytest.mark.req("K-10")
def test_a_guard_without_admin_token_has_no_open_port(tmp_path: Path) -> None:
    guard = GuardProcess(tmp_path / "guard", NOWHERE, READY)
    without_admin(guard)
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        port = end.getsockname()[1]
    fails(guard, "serve", "--port", str(port))
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_a_taken_port_and_a_foreign_address_are_said_plainly(tmp_path: Path) -> None:
    guard = GuardProcess(tmp_path / "guard", NOWHERE, READY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        fails(guard, "serve", "--port", port, says=(port, "taken", "--port"))
    fails(guard, "serve", "--host", "192.0.2.1", "--port", "0", says=("192.0.2.1", "--host"))
    fails(guard, "serve", "--host", "no such host", "--port", "0", says=("--host",))
    fails(guard, "serve", "--port", "99999", says=("99999", "--port"))
    fails(guard, "serve", "--port", "http", status=2, says=("--help",))


def test_wrong_words_are_answered_with_the_nearest_right_ones(tmp_path: Path) -> None:
    guard = GuardProcess(tmp_path / "guard", NOWHERE, READY)
    told = partial(fails, ways=((),))
    told(guard, "serv", status=2, says=("serve",))
    fails(guard, "key", "craete", status=2, says=("create",))
    told(guard, status=2, says=("--help",))
    told(guard, "key", "create", status=2, says=("--project",))
    told(guard, "key", "create", "--project", "a b", status=2, says=("'a b'",))
    fails(
        guard,
        "key",
        "create",
        "--project",
        "p",
        "--cap",
        "5 dollars",
        status=2,
        says=("20.00/day",),
    )
    told(guard, "key", "create", "--project", "p", "--expires", "soon", status=2, says=("30d",))
    fails(
        guard, "key", "create", "--project", "p", "--cidr", "home", status=2, says=("10.0.0.0/8",)
    )
    told(guard, "key", "create", "--project", "p", "--rpm", "0", status=2, says=("rpm",))
    told(guard, "key", "show", "mykey", status=2, says=("tokenward key list",))
    told(guard, "key", "show", "AbCdEf012345", says=("tokenward key list",))
    told(guard, "cap", "set", "team:x", "1.00/day", status=2, says=("project",))
    told(guard, "credit", "add", "nobody", "5.00", says=("tokenward account create",))
    told(guard, "--config", "nowhere.toml", "key", "list", says=("tokenward init", "nowhere.toml"))


def test_init_in_a_place_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    guard = GuardProcess(tmp_path / "guard", NOWHERE, READY)
    (tmp_path / "a-file").write_text("", "ascii")
    fails(guard, "init", str(tmp_path / "a-file"), says=("a-file",))
    fails(guard, "init", "/proc/nowhere", says=("/proc/nowhere",))
    (guard.folder / "data/pepper").unlink()
    guard.run("account", "list")
    if list((guard.folder / "data").glob("*.db")):
        fails(guard, "init", str(guard.folder), says=("pepper", "backup"))


def test_what_init_writes_is_secret_new_and_never_overwritten(tmp_path: Path) -> None:
    one, two = (GuardProcess(tmp_path / name, NOWHERE, READY) for name in ("one", "two"))
    for name in ("pepper", "master.key", "admin.token"):
        path = one.folder / "data" / name
        assert path.stat().st_mode & 0o777 == 0o600
        assert len(path.read_text("ascii").strip()) == 64
        assert path.read_bytes() != (two.folder / "data" / name).read_bytes()
    assert (one.folder / "data").stat().st_mode & 0o777 == 0o700
    before = {path: path.read_bytes() for path in one.folder.rglob("*") if path.is_file()}
    assert one.run("init", str(one.folder), config=False).returncode == 0
    assert {path: path.read_bytes() for path in one.folder.rglob("*") if path.is_file()} == before


def published_keys() -> set[str]:
    """Every text like a key in what we publish, with the tokens people try first."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    for folder, kinds in (("docs", "*.md"), ("tests", "*.py"), ("src", "*"), ("benchmarks", "*")):
        pages += [path for path in (ROOT / folder).rglob(kinds) if path.is_file()]
    found = {PUBLISHED_VECTOR}
    for page in pages:
        if page.suffix != ".pyc":
            text = page.read_text("utf-8", errors="replace")
            found |= set(re.findall(r"\btw_[a-z]{2}_[0-9A-Za-z]+", text))
            found |= set(re.findall(r"\bsk-[0-9A-Za-z_-]{3,}", text))
    return found


@pytest.mark.req("K-10")
def test_no_key_that_was_ever_published_opens_a_fresh_guard(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    new_key(guard)
    samples = published_keys()
    assert PUBLISHED_VECTOR in samples
    assert standin.credential in samples
    usual = {"test", "admin", "sk-1234", "password", "changeme", "tokenward", "none", "x", "null"}
    standin.reset()
    for text in sorted(samples | usual):
        for entrance in DIALECTS:
            answer = post(guard, entrance, text, entrance.body)
            assert (answer.status, answer.code) == (401, "key:invalid"), (text, answer)
    assert standin.requests() == []


@pytest.mark.req("K-10")
def test_no_usual_token_opens_the_admin_door(guard: GuardProcess) -> None:
    for token in ("admin", "tokenward", "changeme", "sk-1234", "0" * 64, "", "none"):
        headers = [("authorization", f"Bearer {token}")]
        assert ask(guard.base_url, "GET", "/admin/v1/keys", headers).status == 401
