"""`tokenward`: reads the command line, runs the verb, and says plainly what went wrong."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, TextIO

import msgspec

import tokenward
from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import Parser, UsageError, add_verbs
from tokenward.kernel.errors import Fault

VERBS: Final = (
    "init",
    "serve",
    "agent",
    "demo",
    "drill",
    "account",
    "credit",
    "key",
    "cap",
    "usage",
    "incident",
    "lab",
    "events",
    "records",
    "doctor",
    "restore",
)
"""In the order of the help; each is a module here with `add(verbs)`, which names its `run`."""

INTERRUPTED: Final = 130
_START: Final = """\
start here:
  tokenward init                                      settings, secrets and a data folder
  tokenward key create --project demo --cap 5.00/day  a key for one of your apps
  tokenward serve                                     the guard"""


def run(
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Run one command; its exit status: 0 done, 1 refused or failed, 2 wrong usage."""
    typed = list(sys.argv[1:] if argv is None else argv)
    surroundings = os.environ if environ is None else environ
    stdout, stderr = out or sys.stdout, err or sys.stderr
    as_json = "--json" in typed
    try:
        args = build_parser().parse_args(typed)
        desk = Desk(
            config=Path(
                getattr(args, "config", None)
                or surroundings.get("TOKENWARD_CONFIG")
                or "tokenward.toml"
            ),
            as_json=as_json,
            environ=surroundings,
            out=stdout,
            err=stderr,
        )
        status: int = args.run(args, desk) or 0
        stdout.flush()
        return status
    except UsageError as error:
        return _fail(stderr, as_json, "usage:wrong", f"{error}", 2)
    except CommandError as error:
        return _fail(stderr, as_json, error.code, f"{error}", error.status)
    except Fault as fault:
        return _fail(stderr, as_json, f"fault:{_kind(fault)}", f"{fault}", 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_quietly()
        return 1
    except PermissionError as error:
        return _fail(stderr, as_json, "system:failed", _closed(f"{error.filename}"), 1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(stderr, as_json, "system:failed", f"{error.strerror or error}{where}", 1)


def build_parser() -> Parser:
    """Every verb that there is, with its help."""
    parser = Parser(
        prog="tokenward",
        description="A guard that stops stolen LLM keys from spending your money.",
        epilog=_START,
    )
    parser.add_argument("--version", action="version", version=f"tokenward {tokenward.__version__}")
    verbs = add_verbs(parser)
    for name in VERBS:
        import_module(f"tokenward.cli.{name}").add(verbs)
    return parser


def _closed(path: str) -> str:
    return f"This user may not read or write {path}. Run tokenward as the user who owns it"


def _fail(err: TextIO, as_json: bool, code: str, message: str, status: int) -> int:
    line = " ".join(message.split())
    if as_json:
        line = msgspec.json.encode({"error": {"code": code, "message": line}}).decode()
    else:
        line = f"tokenward: {line}"
    err.write(line + "\n")
    return status


def _kind(fault: Fault) -> str:
    """`StoreHeldError` → `store_held`."""
    name = type(fault).__name__.removesuffix("Error")
    return "".join("_" + sign.lower() if sign.isupper() else sign for sign in name).lstrip("_")


def _close_quietly() -> None:
    """Whoever read our output is gone; flushing at exit would complain about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
