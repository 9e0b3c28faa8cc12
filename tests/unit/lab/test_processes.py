"""Processes of the demonstration and the drill: apart from everything else, and gone at the end."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tokenward.lab import processes as module
from tokenward.lab.processes import Processes, last_words

MODELS = {"openai": '["gpt-*"]'}


class WorldError(Exception):
    """As a world has its own."""


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    folder = tmp_path / "world"
    folder.mkdir()
    return Processes(folder=folder, credential="sk-standin", failure=WorldError)


@contextmanager
def stubborn(processes: Processes) -> Iterator[int]:
    """A process that does not end when it is asked to; its id."""
    program = processes.folder / "stubborn.py"
    program.write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n",
        "utf-8",
    )
    with processes._running("stubborn") as ready:
        yield int(ready)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers(url: str) -> bool:
    at = urlsplit(url)
    with closing(socket.socket()) as link:
        return link.connect_ex((at.hostname or "", at.port or 0)) == 0


def test_a_guard_of_whoever_runs_this_is_not_touched(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    monkeypatch.setenv("TOKENWARD_CONFIG", str(own / "tokenward.toml"))
    monkeypatch.setenv("TOKENWARD_SERVER__DATA_DIR", str(own / "data"))
    processes.write_settings("http://127.0.0.1:9", MODELS, "")
    with processes.guard() as url:
        assert answers(url)
    assert (processes.folder / "data" / "tokenward.db").exists()
    assert not own.exists()


def test_what_was_started_is_gone_when_its_block_is_left_by_ctrl_c(processes: Processes) -> None:
    urls = []

    def interrupted() -> None:
        with processes.standin() as url:
            urls.append(url)
            assert answers(url)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [answers(url) for url in urls] == [False]


def test_a_process_that_does_not_end_is_ended(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOP_S", 0.2)
    with stubborn(processes) as pid:
        os.kill(pid, signal.SIGTERM)
        assert is_alive(pid)
    assert not is_alive(pid)


def test_a_guard_that_does_not_start_says_why_in_its_own_words(processes: Processes) -> None:
    processes.write_settings("http://127.0.0.1:9", MODELS, "[server]\nworkers = 0\n")
    with pytest.raises(WorldError, match=r"^tokenward\.toml: server\.workers"):
        processes.guard().__enter__()


def test_a_process_that_is_never_ready_is_not_waited_for_without_end(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_START_S", 0.01)
    with pytest.raises(WorldError, match=r"^tokenward\.lab\.standin did not start within 0\.01 s$"):
        processes.standin().__enter__()


def test_a_command_that_fails_says_which_and_why(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WorldError, match=r"^tokenward key list: There is no tokenward\.toml"):
        processes.command("key", "list")
    with pytest.raises(WorldError, match=r"^tokenward --json key list: There is no"):
        processes.command("--json", "key", "list")
    monkeypatch.setattr(module, "_COMMAND_S", 0.01)
    with pytest.raises(WorldError, match=r"^tokenward key list: did not end within 0\.01 s$"):
        processes.command("key", "list")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", ""),
        ("Traceback:\n  line\nOSError: no room\n", "OSError: no room"),
        ("tokenward: There is no room.\n", "There is no room."),
        ('{"error":{"code":"a:b","message":"No room."}}\n', "No room."),
        ('{"error": 3}', '{"error": 3}'),
        ("17", "17"),
    ],
)
def test_the_last_words_are_those_of_an_error_or_the_last_line(said: str, words: str) -> None:
    assert last_words(said) == words
