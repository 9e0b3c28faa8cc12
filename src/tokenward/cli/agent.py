"""`tokenward agent`: a local signer, for tools that only take a base URL and a key."""

import asyncio
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any, Final

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import Verbs

if TYPE_CHECKING:
    from tokenward.client import Holder

PORT: Final = 8484
_MORE: Final = """\
The first start takes the one-time code of `tokenward key create --bind dpop` (--enrol) and makes
a private key, which stays on this machine; later starts find it. Give your tools the printed URL
as base URL (with /v1 where they want it) and the local token as key. SIGTERM and SIGINT end it."""


def add(verbs: Verbs) -> None:
    """The verb."""
    agent = verbs.add("agent", "sign for local tools, which need only a URL and a key", _MORE)
    agent.add_argument("--guard", metavar="URL", help="the guard; default: where you enrolled")
    agent.add_argument("--host", metavar="H", default="127.0.0.1", help="a loopback address")
    agent.add_argument("--port", metavar="P", type=int, default=PORT, help=f"default: {PORT}")
    agent.add_argument("--enrol", metavar="CODE", help="enrol first, with this one-time code")
    agent.add_argument(
        "--replace", action="store_true", help="with --enrol: give up another key's holder"
    )
    agent.add_argument("--name", metavar="NAME", default="default", help="of the enrolled holder")
    agent.add_argument("--print-token", action="store_true", help="print the local token as well")
    agent.set_defaults(run=_agent)


def _agent(args: Namespace, desk: Desk) -> None:
    from tokenward.client.agent import AgentServer, SignedLink, local_token
    from tokenward.client.agent.server import loopback_address
    from tokenward.client.keeping import holder_path

    if not 0 <= args.port <= 65_535:
        raise CommandError(f"{args.port} is no port; take one to 65535", "usage:wrong", 2)
    loopback_address(args.host)  # said before a code is spent
    holder = _holder(args)
    path = local_token.token_path(holder_path(args.name))
    token = local_token.keep_token(path)

    def warn(text: str) -> None:
        desk.err.write(f"tokenward agent: {text}\n")
        desk.err.flush()

    def tell_ready(url: str) -> None:
        value = {
            "url": url,
            "guard": holder.guard_url,
            "key": holder.key_id,
            "token_file": str(path),
        }
        if args.print_token:
            value["token"] = token.reveal()
        desk.tell(value, _ready)
        desk.out.flush()

    async def serve() -> None:
        link = SignedLink(holder, now_s=time.time, warn=warn)
        await AgentServer(link, token, args.host, args.port, warn).serve(tell_ready)

    asyncio.run(serve())


def _holder(args: Namespace) -> "Holder":
    from tokenward.client import enrol
    from tokenward.client.address import origin_of
    from tokenward.client.keeping import load_holder

    if args.enrol:
        if not args.guard:
            raise CommandError("--enrol needs the guard's address: --guard URL", "usage:wrong", 2)
        return enrol(args.guard, args.enrol, name=args.name, replace=args.replace)
    holder = load_holder(args.name)
    try:
        is_other = args.guard and origin_of(args.guard) != origin_of(holder.guard_url)
    except ValueError as error:
        raise CommandError(f"--guard: {error}", "usage:wrong", 2) from None
    if is_other:
        raise CommandError(
            f"The holder {args.name!r} was enrolled at {holder.guard_url}, and its key is shown to "
            "no other guard. Leave --guard out, or enrol there too: --enrol CODE --name NAME",
            "agent:other_guard",
        )
    return holder


def _ready(value: dict[str, Any]) -> str:
    where = f"token {value['token']}" if "token" in value else f"token in {value['token_file']}"
    return f"tokenward agent ready on {value['url']}, signs for key {value['key']} ({where})"
