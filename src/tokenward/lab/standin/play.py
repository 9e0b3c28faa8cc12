"""An answer goes out: at its pace, with its faults, and never without its line on the bill."""

from collections.abc import Callable

from tokenward.lab.standin.answer import Answer, Document, Stream
from tokenward.lab.standin.behaviour import Behaviour, Fault
from tokenward.lab.standin.wire import RawHeaders, Wire

Charge = Callable[[str, int, int], None]
"""How the call ended, and how many of how many parts of the output had been generated."""

_HANG_MS = 600_000
_GARBAGE = b'{"not": json,,'
_ERROR_STATUS = 500


async def play(
    wire: Wire, answer: Answer, asked: Behaviour, headers: RawHeaders, charge: Charge
) -> int:
    """Send the answer and charge for it exactly once; 0, or the status of a failure that the
    caller is to send instead because nothing was generated that it charges for."""
    if isinstance(answer, Stream):
        await _Streaming(wire, answer, asked, headers, charge).play()
        return 0
    return await _play_document(wire, answer, asked, headers, charge)


async def _play_document(
    wire: Wire, answer: Document, asked: Behaviour, headers: RawHeaders, charge: Charge
) -> int:
    """A document takes as long as its stream would, and is charged before it is sent."""
    whole = answer.chunks
    left_after = await _left_after(wire, asked, whole)
    if left_after is not None:
        charge("cut", whole if asked.deaf else left_after, whole)
        return 0
    head: RawHeaders = [(b"content-type", answer.media_type), *headers]
    body, fault = answer.body, asked.fail
    if fault is Fault.ERROR:
        return _ERROR_STATUS
    if fault is None or fault is Fault.GARBAGE:
        charge(fault or "complete", whole, whole)
        garbage = body[: len(body) // 2] + _GARBAGE
        await wire.document(200, head, garbage if fault else body)
        return 0
    if fault is not Fault.HANG:
        charge(fault, whole, whole)
    if fault is Fault.CLOSE:
        await wire.head(200, head)
        await wire.end(body[: len(body) // 2])
        return 0
    if asked.fail_after:
        await wire.head(200, [*head, (b"content-length", str(len(body)).encode())])
        await wire.part(body[: len(body) // 2])
    if fault is Fault.RESET:
        await wire.reset()
    else:
        await wire.wait(_HANG_MS)
        charge(fault, whole, whole)
    return 0


async def _left_after(wire: Wire, asked: Behaviour, whole: int) -> int | None:
    """Wait as long as generating takes; how much there was when the client hung up, if it did."""
    if await wire.wait(asked.first_ms):
        return 0
    if asked.gap_ms:
        for made in range(1, whole + 1):
            if await wire.wait(asked.gap_ms):
                return made
    return None


class _Streaming:
    """Plays one stream."""

    def __init__(
        self, wire: Wire, stream: Stream, asked: Behaviour, headers: RawHeaders, charge: Charge
    ) -> None:
        self._wire = wire
        self._stream = stream
        self._asked = asked
        no_cache = (b"cache-control", b"no-cache")
        self._head: RawHeaders = [(b"content-type", stream.media_type), no_cache, *headers]
        self._charge = charge
        self._whole = len(stream.chunks)
        self._fault_at = -1 if asked.fail is None else min(asked.fail_after, self._whole)

    async def play(self) -> None:
        """Send everything, or as much as the fault or the client allows."""
        wire, asked = self._wire, self._asked
        wire.watch()
        if await wire.wait(asked.first_ms):
            self._cut(0)
            return
        if self._fault_at == 0 and asked.fail in (Fault.RESET, Fault.HANG):
            await self._break(0)
            return
        await wire.head(200, self._head)
        if self._stream.opening:
            await wire.part(self._stream.opening)
        for sent, chunk in enumerate(self._stream.chunks):
            if sent == self._fault_at:
                await self._break(sent)
                return
            if await wire.wait(asked.gap_ms if sent else 0):
                self._cut(sent + 1)  # the next part was in the making
                return
            await wire.part(chunk)
        if self._fault_at == self._whole:
            await self._break(self._whole)
            return
        self._charge("complete", self._whole, self._whole)
        await wire.end(self._stream.closing)

    def _cut(self, made: int) -> None:
        self._charge("cut", self._whole if self._asked.deaf else made, self._whole)

    async def _break(self, sent: int) -> None:
        wire, fault = self._wire, self._asked.fail
        assert fault is not None
        if fault is Fault.HANG:
            await wire.wait(_HANG_MS)
            self._charge(fault, sent, self._whole)
            return
        made = self._whole if fault is Fault.GARBAGE else sent
        self._charge(fault, made, self._whole)
        if fault is Fault.RESET:
            await wire.reset()
        elif fault is Fault.ERROR:
            await wire.end(self._stream.error(sent))
        elif fault is Fault.GARBAGE:
            await wire.end(b"data: " + _GARBAGE + b"\n\n")
        else:
            await wire.end()
