"""The command as a process of its own: start, signals, pipes, and a guard that runs beside it."""

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tokenward.cli import guard_file
from tokenward.cli.guard_file import GuardAddress
from unit.cli.command import Shell, held

WAIT_S = 30
HEAVY = ("uvicorn", "uvloop", "genai_prices", "sqlite3", "aiohttp", "prometheus_client")


def _command(shell: Shell, *words: str) -> "subprocess.Popen[str]":
    environ = {"PATH": os.environ["PATH"], "TOKENWARD_CONFIG": str(shell.config), **shell.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "tokenward", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
        cwd=shell.folder,
    )


def _ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    with process:
        try:
            out, err = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    return process.returncode, out, err


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What is started hears SIGINT, also where this runs in the background of a shell, which has
    its background commands ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def guard(shell: Shell, *words: str, ends: str = ")") -> Iterator["subprocess.Popen[str]"]:
    """A guard that is ready, and says so in a line that ends so; it is gone when the context
    ends."""
    with _command(shell, "serve", "--port", "0", *words) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], WAIT_S)[0], "the guard says nothing"
            line = process.stdout.readline()
            assert line.startswith("tokenward ready on http://127.0.0.1:"), process.stderr
            assert line.endswith(f"{ends}\n")
            yield process
        finally:
            process.kill()


def test_the_module_is_the_command(shell: Shell) -> None:
    status, out, err = _ended(_command(shell, "key", "list", "--json"))
    assert (status, out, err) == (0, "[]\n", "")
    status, out, err = _ended(_command(shell, "kye"))
    assert (status, out) == (2, "")
    assert "did you mean 'key'?" in err


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, tokenward.cli.main as main; main.build_parser(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    assert done.stdout == "[]\n"


def test_a_guard_that_only_observes_says_so_when_it_is_ready(shell: Shell) -> None:
    with guard(shell, "--observe", ends="data/admin.token) (evidence is only observed)"):
        pass
    with guard(shell, ends=" (admin token in data/admin.token)"):
        pass


def _policy(shell: Shell) -> str:
    (found,) = (each for each in shell.json("doctor")["checks"] if each["name"] == "policy")
    assert found["ok"]
    return str(found["why"])


def test_the_doctor_tells_what_evidence_may_do_in_the_guard_that_runs(shell: Shell) -> None:
    table = '\n[policy.project.shop]\nmode = "observe"\n'
    with guard(shell, "--observe", ends="(evidence is only observed)"):
        told = _policy(shell)
        assert told.startswith("in the guard that runs evidence is only observed. By the settings ")
        assert "start the guard again, without --observe" in told
    with guard(shell):
        assert _policy(shell) == "evidence acts"
        shell.config.write_text(shell.config.read_text("utf-8") + table, "utf-8")
        told = _policy(shell)
        assert told.startswith("in the guard that runs evidence acts. By the settings evidence ")
        assert "shop (observe): to apply them, start the guard again" in told
        assert "--observe" not in told
    assert _policy(shell) == "evidence acts; projects with rules of their own: shop (observe)"


def test_a_reader_that_leaves_is_not_told_about(shell: Shell) -> None:
    process = _command(shell, "key", "list")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process:
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_command_ends_quietly(shell: Shell) -> None:
    data = shell.folder / "data"
    with socket.create_server(("127.0.0.1", 0)) as silent, held(data):
        guard_file.write(data, GuardAddress(os.getpid(), "127.0.0.1", silent.getsockname()[1]))
        silent.settimeout(WAIT_S)
        process = _command(shell, "key", "list")
        asked, _ = silent.accept()
        with asked:
            assert asked.recv(1), "it asks, and waits for an answer that does not come"
            process.send_signal(signal.SIGINT)
            ended = _ended(process)
    assert ended == (130, "", "")


def test_commands_act_on_a_running_guard_and_on_the_records_after_it(shell: Shell) -> None:
    with guard(shell) as running:
        address = guard_file.read(shell.folder / "data")
        assert address is not None
        assert address.pid == running.pid
        key = shell.json("key", "create", "--project", "demo", "--cap", "5.00/day")["id"]
        assert shell.json("key", "freeze", key)["state"] == "frozen"
        doctor = shell.json("doctor", "--audit")
        (seen,) = (check for check in doctor["checks"] if check["name"] == "guard")
        assert f"running as {running.pid}" in seen["why"]
        running.send_signal(signal.SIGTERM)
        status, _, err = _ended(running)
    assert (status, err) == (0, "")
    assert guard_file.read(shell.folder / "data") is None
    (shown,) = shell.json("key", "list")
    assert (shown["id"], shown["state"]) == (key, "frozen")


def test_after_a_crash_commands_and_the_next_guard_just_work(shell: Shell) -> None:
    with guard(shell) as running:
        key = shell.json("key", "create", "--project", "demo")["id"]
        running.kill()
        running.wait(WAIT_S)
    assert guard_file.read(shell.folder / "data") is not None
    assert shell.json("key", "list")[0]["id"] == key
    with guard(shell):
        assert shell.json("key", "list")[0]["id"] == key


def test_a_second_guard_on_the_same_folder_does_not_start(shell: Shell) -> None:
    with guard(shell) as running:
        status, out, err = _ended(_command(shell, "serve", "--port", "0"))
        assert (status, out) == (1, "")
        assert err.startswith("tokenward: ")
        assert err.count("\n") == 1
        address = guard_file.read(shell.folder / "data")
        assert address is not None
        assert address.pid == running.pid


def test_a_guard_waits_for_a_command_that_is_just_ending(shell: Shell) -> None:
    with held(shell.folder / "data") as lock:
        threading.Timer(1.0, fcntl.flock, (lock, fcntl.LOCK_UN)).start()
        with guard(shell) as running:
            assert running.poll() is None


def test_a_taken_port_is_said_plainly(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = _ended(_command(shell, "serve", "--port", str(port), "--json"))
    assert (status, out) == (1, "")
    assert f"port {port}" in json.loads(err)["error"]["message"]


def _without_provider_key(shell: Shell) -> None:
    shell.environ.pop("OPENAI_API_KEY")


def _without_admin_token(shell: Shell) -> None:
    text = shell.config.read_text()
    shell.config.write_text(text.replace('token = "file:data/admin.token"', ""))


def _without_pepper(shell: Shell) -> None:
    (shell.folder / "data" / "pepper").unlink()


@pytest.mark.req("K-10")
@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (_without_provider_key, "OPENAI_API_KEY"),
        (_without_admin_token, "admin"),
        (_without_pepper, "tokenward init"),
    ],
)
def test_a_guard_that_lacks_a_secret_does_not_start_and_names_it(
    shell: Shell, harm, named: str
) -> None:
    harm(shell)
    status, out, err = _ended(_command(shell, "serve", "--port", "0"))
    assert (status, out) == (1, "")
    assert named in err
    assert err.count("\n") == 1


def test_ready_is_one_json_value_for_scripts(shell: Shell) -> None:
    with _command(shell, "serve", "--port", "0", "--json") as process:
        assert process.stdout is not None
        ready: Mapping[str, object] = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        status, out, _ = _ended(process)
    assert (status, out) == (0, "")
    assert ready["pid"] == process.pid
    assert str(ready["url"]).startswith("http://127.0.0.1:")


def test_the_installed_command_is_this_one(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "tokenward"
    done = subprocess.run(
        [command, "init", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    assert json.loads(done.stdout)["config"] == "tokenward.toml"
