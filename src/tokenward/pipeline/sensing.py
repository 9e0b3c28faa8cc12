"""A call → its signals (the first half of step 5). Never raises: a family of signals that breaks
on what a caller sent is *unknown*, and the record says so."""

from collections.abc import Callable
from typing import Final, TypeVar

from tokenward.kernel.conversation import Conversation
from tokenward.kernel.signals import Asked, Client, Content, Network, Signals
from tokenward.keys.caveats import names_model
from tokenward.pipeline.notes import without_keys
from tokenward.pipeline.stages import Bound, Read
from tokenward.signals.client import read_client
from tokenward.signals.content import read_content
from tokenward.signals.probes import probe_in_refused
from tokenward.signals.senses import Senses

_Family = TypeVar("_Family", Client, Network, Content)
TRIED_OUT: Final = "trial"
"""The operation of routes that only people who try out keys call."""


def sense(senses: Senses, read: Read, said: Conversation | None) -> Signals:
    """The signals of a call that could be read, and of what was said in it."""
    bound, ask = read.bound, read.ask
    arrived = bound.known.arrived
    unknown: list[str] = []
    content = _try(
        unknown,
        Content(),
        lambda: read_content(
            said,
            senses.hash_text,
            operation=arrived.route.operation,
            path=arrived.path,
            output_limit=ask.output_named,
            size=len(read.request.body),
        ),
    )
    asked = Asked(
        model=without_keys(ask.model),
        level=read.price.level if read.price is not None and ask.has_output else None,
        is_declared=names_model(read.bound.known.key.caveats, ask.model),
        route=arrived.route.operation,
        output_limit=ask.output_named,
        stream=ask.stream,
    )
    return _signals(senses, bound, read.request.body, content, asked, unknown)


def sense_refused(senses: Senses, bound: Bound, body: bytes) -> Signals:
    """The signals of a call that was refused before it could be read whole."""
    arrived = bound.known.arrived
    unknown: list[str] = []

    def content() -> Content:
        if arrived.route.operation == TRIED_OUT:
            return Content(probe="dead_route", is_sure=True)
        probe = probe_in_refused(body, arrived.route.operation)
        return Content(probe=probe, is_sure=bool(probe))

    asked = Asked(model=without_keys(arrived.model_in_path[:256]), route=arrived.route.operation)
    found = _try(unknown, Content(), content)
    return _signals(senses, bound, body, found, asked, unknown)


def _signals(
    senses: Senses,
    bound: Bound,
    body: bytes,
    content: Content,
    asked: Asked,
    unknown: list[str],
) -> Signals:
    arrived = bound.known.arrived
    client = _try(
        unknown,
        Client(),
        lambda: read_client(
            arrived.header_list,
            arrived.wire_names,
            body,
            arrived.ja4,
            is_forwarded=arrived.is_forwarded,
        ),
    )
    network = _try(unknown, Network(), lambda: senses.networks.of(arrived.client_ip))
    return Signals(
        at_ms=arrived.at_ms,
        request_id=arrived.request_id,
        client=client,
        network=network,
        content=content,
        asked=asked,
        unknown=tuple(unknown),
        proof="" if bound.proof_kind == "none" else bound.proof_kind,
    )


def _try(unknown: list[str], nothing: _Family, read: Callable[[], _Family]) -> _Family:
    try:
        return read()
    except Exception:  # noqa: BLE001 - whatever a caller sent must not decide by breaking us
        unknown.append(type(nothing).__name__.lower())
        return nothing
