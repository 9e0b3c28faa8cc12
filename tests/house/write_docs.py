"""`make docs`: rewrites the parts of the documents that the code itself can tell.

A page marks such a part with two comments; what stands between them is replaced. Running it twice
changes nothing. `test_documents.py` fails when a part is stale.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from tokenward.cli.main import build_parser
from tokenward.http.admin.route import PREFIX
from tokenward.http.admin.routes import ROUTES
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.ask import Route
from tokenward.providers.gemini import GEMINI
from tokenward.providers.openai import OPENAI
from tokenward.settings import example_text
from tokenward.settings.kinds import number_words
from tokenward.settings.names import ANY_NAME
from tokenward.settings.shape import Written

from .documents import carried_by_benchmarks, carried_by_tests
from .requirements import REQUIREMENTS
from .source import DOCS, ROOT
from .thefts import NUSD_A_USD, THEFTS

EVERYWHERE: Final = {"help", "config", "json", "version"}
SAID: Final = {
    "server.host": "The address to listen on.",
    "server.port": "The port to listen on; 0 takes a free one.",
    "store.records": "The PostgreSQL of the records: `postgresql://…`, or where that stands: "
    "`env:NAME`, `file:PATH`.",
    "store.hot": "The Valkey or Redis of hot state: `valkey://host:port`, `valkeys://…` (TLS), "
    "several hosts with commas between them, or where that stands.",
    "server.max_body_mb": "The largest request body, in millions of bytes.",
    "server.client_address_header": "The header in which trusted proxies name the caller.",
    "server.tls_key": "Its private key (PEM), not readable by all.",
    "oauth.refresh_end_days": (
        "This long after the first of its family the key itself is asked for again."
    ),
    "workload.name": "Your name for it; stands in records and tokens.",
    "workload.kind": "What signs its tokens: GitHub Actions, SPIFFE, or any OIDC issuer.",
    "workload.key": "The id of the key whose caps and caveats apply.",
    "workload.repository_id": "github: the repository, by its number.",
    "workload.repository_owner_id": "github: its owner, by number.",
    "workload.environment": "github: only from this environment.",
    "workload.job_workflow_ref": "github: only from this reusable workflow, at this ref.",
    "workload.issuer": "Exactly the token's `iss`.",
    "workload.subject": "oidc: exactly its `sub`; spiffe: its id, `/*` at the end for all below.",
    "provider.name": "Your name for it; stands in records and metrics.",
    "provider.dialect": "How it speaks.",
    "provider.base_url": "Scheme, host and whatever stands before the dialect's own path.",
    "provider.credential": "Where its secret is: `env:NAME`, `file:PATH` or `none`.",
    "provider.models": "Patterns of the models it serves; the first provider that matches is used.",
    "prices.input_usd_per_mtok": "A million input tokens.",
    "prices.output_usd_per_mtok": "A million output tokens, thinking included.",
    "prices.cache_read_usd_per_mtok": "A million input tokens read from a cache.",
    "prices.cache_write_usd_per_mtok": "A million input tokens written to a cache.",
    "prices.cache_write_1h_usd_per_mtok": "The same, kept for an hour.",
    "prices.input_audio_usd_per_mtok": "A million input tokens of sound.",
    "prices.output_audio_usd_per_mtok": "A million output tokens of sound.",
    "prices.output_image_usd_per_mtok": "A million output tokens of pictures.",
    "prices.search_usd": "One search.",
    "prices.image_usd": "One picture made.",
    "prices.character_usd_per_mchar": "A million characters spoken.",
    "prices.audio_usd_per_hour": "An hour of recording.",
    "prices.max_output_tokens": "The most the model can say in one answer.",
    "alerts.webhook": "Where events are sent; absent: nowhere.",
}
"""Words for settings that the example file shows without any."""
METERS: Final = {"free": "free", "usage": "by usage", "request": "by what is asked"}


def stale() -> list[str]:
    """The pages whose generated parts differ from what the code says."""
    return [str(page.relative_to(ROOT)) for page, old, new in _rewritten() if old != new]


def main() -> None:
    """Rewrite what is stale and say what that was."""
    for page, old, new in _rewritten():
        if old != new:
            page.write_text(new, "utf-8")
            sys.stdout.write(f"rewrote {page.relative_to(ROOT)}\n")


def _rewritten() -> Iterator[tuple[Path, str, str]]:
    for name, parts in PAGES.items():
        page = DOCS / name
        old = new = page.read_text("utf-8")
        for part, write in parts.items():
            begin, end = f"<!-- {part}: written by make docs -->\n", f"<!-- end of {part} -->"
            head, found, rest = new.partition(begin)
            _, closed, tail = rest.partition(end)
            assert found, f"{name} has no place for {part}"
            assert closed, f"{name} has no end of {part}"
            new = f"{head}{begin}\n{write().strip()}\n\n{end}{tail}"
        yield page, old, new


# -- the command line -----------------------------------------------------------------------------


def write_verbs() -> str:
    """Every verb: what it does, what it takes."""
    return "\n\n".join(_verb("tokenward", build_parser(), ""))


def _verb(name: str, parser: argparse.ArgumentParser, summary: str) -> Iterator[str]:
    actions = [action for action in parser._actions if action.dest not in EVERYWHERE]
    inner = [action for action in actions if isinstance(action, argparse._SubParsersAction)]
    if name != "tokenward":
        yield f"{'#' * (1 + len(name.split()))} `{name}`"
        yield (parser.description or summary).strip()
    for action in inner:
        summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for verb, verb_parser in action.choices.items():
            yield from _verb(f"{name} {verb}", verb_parser, summaries.get(verb, ""))
    if inner:
        return
    actions.sort(key=lambda action: (bool(action.option_strings), not action.required))
    usage = " ".join([name, *map(_usage, actions)])
    yield f"```text\n{usage}\n```"
    if actions:
        rows = [(f"`{_shown(action)}`", _meant(action)) for action in actions]
        yield _table(("argument", "meaning"), rows)


def _shown(action: argparse.Action) -> str:
    given = action.metavar or ("" if action.nargs == 0 else "|".join(action.choices or ()))
    return " ".join(part for part in (*action.option_strings[-1:], str(given)) if part)


def _usage(action: argparse.Action) -> str:
    shown = _shown(action)
    is_needed = action.required and action.nargs != "?"
    many = "…" if isinstance(action, argparse._AppendAction) else ""
    return shown if is_needed else f"[{shown}]{many}"


def _meant(action: argparse.Action) -> str:
    words = [action.help] if action.help else []
    if action.required and action.option_strings:
        words.append("required")
    if isinstance(action, argparse._AppendAction):
        words.append("may be given several times")
    return "; ".join(words)


# -- the settings ---------------------------------------------------------------------------------


def write_settings() -> str:
    """A table for each section: name, kind, default, what it is for."""
    shape = inspect.type_info(Written)
    assert isinstance(shape, inspect.StructType)
    said = _said_in_example()
    parts = []
    for name, head, table in _settings_tables(shape):
        rows = []
        for field in table.fields:
            if isinstance(field.type, inspect.DictType):
                continue  # a table of its own
            full = f"{name}.{field.encode_name}"
            words = SAID.get(full) or said.get(full, "")
            assert words, f"nobody says what {full} is for"
            rows.append((f"`{field.encode_name}`", _kind(field.type), _default(field), words))
        about = said.get(name, "")
        shown = _table(("setting", "value", "default", "what it is for"), rows)
        parts += [f"### `{head}`", about, shown] if about else [f"### `{head}`", shown]
    return "\n\n".join(parts)


def _settings_tables(
    shape: inspect.StructType,
) -> Iterator[tuple[str, str, inspect.StructType]]:
    """Every table: its dotted name, its head as people write it, and what can stand in it."""
    for section in shape.fields:
        name, inner, head = section.encode_name, section.type, f"[{section.encode_name}]"
        if isinstance(inner, inspect.VarTupleType):
            inner, head = inner.item_type, f"[[{name}]]"
        elif isinstance(inner, inspect.DictType):
            inner, head = inner.value_type, f'[{name}."{ANY_NAME[name]}"]'
        assert isinstance(inner, inspect.StructType)
        yield name, head, inner
        for field in inner.fields:
            if isinstance(field.type, inspect.DictType):
                assert isinstance(field.type.value_type, inspect.StructType)
                within = f"{name}.{field.encode_name}"
                yield within, f'[{within}."{ANY_NAME[within]}"]', field.type.value_type


def write_example() -> str:
    """The commented file that `tokenward init` writes."""
    return f"```toml\n{example_text().strip()}\n```"


def _said_in_example() -> dict[str, str]:
    """`section.name` and `section` → the comment above it, the first where there are several."""
    said: dict[str, str] = {}
    section, above = "", []
    for line in example_text().splitlines():
        if head := re.fullmatch(r"#?\[+([a-z]+(?:\.[a-z]+)*).*\]+", line):
            section = head[1]
            said.setdefault(section, " ".join(above))
            above = []
        elif setting := re.match(r"#?([a-z_0-9]+) = ", line):
            if above:
                said.setdefault(f"{section}.{setting[1]}", " ".join(above))
            above = []
        elif line.startswith("# "):
            above.append(line.removeprefix("# "))
        else:
            above = []
    return said


def _kind(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType():
            return " or ".join(_kind(k) for k in kind.types if not isinstance(k, inspect.NoneType))
        case inspect.VarTupleType():
            return f"list of {_kind(kind.item_type)}"
        case inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case inspect.IntType() | inspect.FloatType():
            return number_words(kind)
        case inspect.BoolType():
            return "`true`, `false`"
        case inspect.DecimalType():
            return "dollars"
        case _:
            return "text"


def _default(field: inspect.Field) -> str:
    value: Any = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return "required"
    if value is None:
        return "absent"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{msgspec.json.encode(value).decode()}`"


# -- the routes -----------------------------------------------------------------------------------


def write_routes() -> str:
    """Every route of every dialect, and how it is charged."""
    parts = []
    for title, dialect in (("OpenAI", OPENAI), ("Anthropic", ANTHROPIC), ("Gemini", GEMINI)):
        rows = [
            (f"`{route.method} {route.path}`", f"`{route.operation}`", _charged(route))
            for route in dialect.routes
        ]
        parts += [f"### {title}", _table(("route", "operation", "charged"), rows)]
    return "\n\n".join(parts)


def _charged(route: Route) -> str:
    charged = METERS[route.meter.value]
    return f"{charged}; closed without `stored_objects`" if route.stored else charged


def write_admin() -> str:
    """Every admin route, and what it takes."""
    rows = []
    for row in ROUTES:
        taken = ", ".join(
            f"`{field.encode_name}`" + ("" if field.required else "?")
            for field in msgspec.structs.fields(row.ask)
            if field.encode_name not in row.parameters
        )
        rows.append((f"`{row.method} {PREFIX}{row.path}`", row.summary, taken or "–"))
    return _table(("route", "does", "takes"), rows)


# -- the requirements -----------------------------------------------------------------------------


def write_requirements() -> str:
    """Every numbered requirement, and the tests and benchmarks that carry its number."""
    carried, measured = carried_by_tests(), carried_by_benchmarks()
    parts = []
    for number, words in REQUIREMENTS.items():
        files = carried.get(number, {})
        parts.append(f"### {number}\n\n{words}")
        lines = [
            f"- `{path}`: " + ", ".join(f"`{name}`" for name in names)
            for path, names in sorted(files.items())
        ]
        lines += [f"- measured by `{path}`" for path in measured.get(number, [])]
        parts.append("\n".join(lines) or "No test carries this number yet.")
    return "\n\n".join(parts)


# -- what a thief gets ----------------------------------------------------------------------------


def write_thefts() -> str:
    """Every row that `attacks/test_theft_table.py` measures."""
    rows = [
        (
            theft.stolen,
            theft.binding,
            f"{theft.tries:,}",
            f"{theft.calls:,}",
            f"${theft.cost_nusd / NUSD_A_USD:,.3f}",
            theft.why,
        )
        for theft in THEFTS.values()
    ]
    heads = ("stolen", "the key is bound to", "tries", "calls answered", "dollars", "what ended it")
    return _table(heads, rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(heads)]
    lines += [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    shown = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(lines[0]), *shown[1:]])


PAGES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "reference/cli.md": {"verbs": write_verbs},
    "reference/settings.md": {"settings": write_settings, "example": write_example},
    "reference/http.md": {"routes": write_routes, "admin": write_admin},
    "requirements.md": {"requirements": write_requirements},
    "explanation/theft-table.md": {"thefts": write_thefts},
}

if __name__ == "__main__":
    main()
