"""`tokenward serve`: the guard."""

import os
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from tokenward.cli import guard_file
from tokenward.cli.admin_client import FIND_PAUSE_S, FIND_WAIT_S
from tokenward.cli.desk import Desk
from tokenward.cli.guard_file import GuardAddress
from tokenward.cli.parser import UsageError, Verbs
from tokenward.kernel.errors import StoreHeldError
from tokenward.settings import Settings

WORKERS_MAX: Final = 64


def add(verbs: Verbs) -> None:
    """The verb."""
    serve = verbs.add(
        "serve",
        "run the guard",
        "SIGTERM: takes no more calls, ends the running ones within server.drain_s, exits 0.",
    )
    serve.add_argument("--host", metavar="H", help="default: server.host")
    serve.add_argument("--port", metavar="P", type=int, help="default: server.port; 0: any free")
    serve.add_argument(
        "--workers", metavar="N", type=int, help="processes; default: server.workers"
    )
    serve.add_argument("--observe", action="store_true", help="record verdicts, act on none")
    serve.set_defaults(run=_serve)


def _serve(args: Namespace, desk: Desk) -> None:
    settings = _with_flags(desk.settings(), args)

    def tell_ready(host: str, port: int) -> None:
        address = GuardAddress(os.getpid(), host, port, _certificate(settings))
        guard_file.write(settings.data_dir, address)
        value = {"url": address.url, "pid": address.pid}
        desk.tell(value, lambda shown: _ready(shown, settings))
        desk.out.flush()

    try:
        _serve_when_free(settings, desk, tell_ready)
    finally:
        guard_file.remove(settings.data_dir, os.getpid())


def _serve_when_free(
    settings: Settings, desk: Desk, tell_ready: Callable[[str, int], None]
) -> None:
    """A command that is just ending may hold the records; for another guard nobody waits."""
    from tokenward.app import serve
    from tokenward.cli.supervise import supervise

    workers = settings.server.workers
    give_up_s = time.monotonic() + FIND_WAIT_S
    while True:
        try:
            if workers > 1:
                return supervise(settings, desk.environ, workers, tell_ready)
            return serve(settings, desk.environ, tell_ready)
        except StoreHeldError:
            is_guard = guard_file.read(settings.data_dir) is not None
            if is_guard or time.monotonic() > give_up_s:
                raise
            time.sleep(FIND_PAUSE_S)


def _certificate(settings: Settings) -> str:
    """By which commands on this machine know the guard, whatever name its certificate is for."""
    from tokenward.http.tls import own_thumbprint

    path = settings.server.tls_certificate
    return own_thumbprint(settings.base_dir / path) if path else ""


def _with_flags(settings: Settings, args: Namespace) -> Settings:
    """What stands on the command line stands above the file and the environment."""
    host = settings.server.host if args.host is None else args.host
    port = settings.server.port if args.port is None else args.port
    workers = settings.server.workers if args.workers is None else args.workers
    if not 1 <= workers <= WORKERS_MAX:
        raise UsageError(f"{workers} workers cannot be; choose 1 to {WORKERS_MAX}")
    policy = settings.policy
    if args.observe:  # of projects too: whoever asks for it wants nobody stopped
        own = {name: replace(project, mode="") for name, project in policy.project.items()}
        policy = replace(policy, mode="observe", project=own)
    return replace(
        settings,
        server=replace(settings.server, host=host, port=port, workers=workers),
        policy=policy,
    )


def _ready(value: dict[str, Any], settings: Settings) -> str:
    kind, _, name = (settings.admin.token or "").partition(":")
    where = f"${name}" if kind == "env" else name
    seen = " (evidence is only observed)" if settings.policy.mode == "observe" else ""
    return f"tokenward ready on {value['url']} (admin token in {where}){seen}"
