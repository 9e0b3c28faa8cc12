"""POST /v1/images/generations, /v1/audio/speech and /v1/audio/transcriptions."""

from base64 import b64encode
from struct import unpack_from
from typing import Any, Final

from tokenward.lab.standin.answer import Answer, Call, Document, Operation, Stream, encode, sse
from tokenward.lab.standin.behaviour import UsageReport
from tokenward.lab.standin.dialect import OPENAI, RejectedError
from tokenward.lab.standin.openai_chat import BROKE_DOWN
from tokenward.lab.standin.reading import count_of, model_of
from tokenward.lab.standin.script import JsonObject, Prompt, Script
from tokenward.lab.standin.tariff import Used
from tokenward.lab.standin.text import pieces, tokens_in

_PNG: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63606060f80f00010401005f9b5a6e0000000049454e44ae426082"
)
_IMAGE_TOKENS: Final = {
    "1024x1024": {"low": 272, "medium": 1056, "high": 4160},
    "1024x1536": {"low": 408, "medium": 1584, "high": 6240},
    "1536x1024": {"low": 400, "medium": 1568, "high": 6208},
}
_SPEECH_MAX: Final = 4096
_SPEECH_BYTES_PER_CHARACTER: Final = 240
_AUDIO_BYTES_PER_SECOND: Final = 16_000
_AUDIO_TOKENS_PER_SECOND: Final = 10


def _read_image(body: JsonObject, _model: str) -> Prompt:
    said = body.get("prompt")
    if not isinstance(said, str) or not said:
        raise RejectedError("Missing required parameter: 'prompt'")
    choices = count_of(body, "n") or 1
    if body.get("size", "auto") not in (*_IMAGE_TOKENS, "auto"):
        raise RejectedError(f"Invalid value: 'size' must be one of {', '.join(_IMAGE_TOKENS)}")
    if body.get("quality", "auto") not in ("low", "medium", "high", "auto"):
        raise RejectedError("Invalid value: 'quality' must be low, medium, high or auto")
    tokens = tokens_in(len(said))
    return Prompt(
        model=model_of(body), body=body, said=said, input_tokens=tokens, limit=0, choices=choices
    )


def _look(body: JsonObject) -> tuple[str, str]:
    """Size and quality as served; `auto` is a square of high quality."""
    size, quality = body.get("size") or "auto", body.get("quality") or "auto"
    return ("1024x1024" if size == "auto" else size), ("high" if quality == "auto" else quality)


def _image_tokens(script: Script) -> int:
    size, quality = _look(script.prompt.body)
    return _IMAGE_TOKENS[size][quality] * script.prompt.choices


def _write_image(script: Script, call: Call) -> Answer:
    size, quality = _look(script.prompt.body)
    made, prompt = _image_tokens(script), script.used.prompt
    document: JsonObject = {
        "created": call.now_s,
        "background": "opaque",
        "output_format": "png",
        "quality": quality,
        "size": size,
        "data": [{"b64_json": b64encode(_PNG).decode()}] * script.prompt.choices,
    }
    if script.asked.usage is not UsageReport.NONE:
        document["usage"] = {
            "input_tokens": prompt,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": prompt},
            "output_tokens": made,
            "output_tokens_details": {"image_tokens": made, "text_tokens": 0},
            "total_tokens": prompt + made,
        }
    return Document(encode(document))


def _image_used(script: Script, _call: Call) -> Used:
    return Used(input=script.used.prompt, output_image=_image_tokens(script))


def _read_speech(body: JsonObject, _model: str) -> Prompt:
    said = body.get("input")
    if not isinstance(said, str) or not 0 < len(said) <= _SPEECH_MAX:
        raise RejectedError(f"'input' must be a text of 1 to {_SPEECH_MAX} characters")
    if not body.get("voice"):
        raise RejectedError("Missing required parameter: 'voice'")
    return Prompt(model=model_of(body), body=body, said=said, limit=0, stream=True)


def _write_speech(script: Script, _call: Call) -> Answer:
    """Sound comes in parts without being asked for; what was spoken is what was sent in."""
    size = len(script.prompt.said) * _SPEECH_BYTES_PER_CHARACTER
    count = script.asked.chunks or 4
    chunks = [
        b"\xff\xfb\x90\x00".ljust(size * (i + 1) // count - size * i // count, b"\x55")
        for i in range(count)
    ]
    media_type = (
        b"audio/wav" if script.prompt.body.get("response_format") == "wav" else b"audio/mpeg"
    )
    return Stream(b"", chunks, b"", lambda _sent: b"", media_type=media_type)


def _speech_used(script: Script, _call: Call) -> Used:
    return Used(characters=len(script.prompt.said))


def _read_hearing(body: JsonObject, _model: str) -> Prompt:
    sound = body.get("file")
    if not isinstance(sound, bytes) or not sound:
        raise RejectedError("Missing required parameter: 'file'")
    model = model_of(body)
    audio_tokens = _seconds(sound) * _AUDIO_TOKENS_PER_SECOND
    said = str(body.get("prompt", ""))
    return Prompt(
        model=model,
        body=body,
        said=said,
        input_tokens=tokens_in(len(said)),
        input_audio=audio_tokens,
        stream=body.get("stream") == "true" and model != "whisper-1",
    )


def _seconds(sound: bytes) -> int:
    """Whole seconds, rounded up: by the header of a WAV file, else by size."""
    rate = _AUDIO_BYTES_PER_SECOND
    if sound[:4] == b"RIFF" and len(sound) >= 44:
        rate = unpack_from("<I", sound, 28)[0] or rate
        sound = sound[44:]
    return max(1, -(-len(sound) // rate))


def _is_by_duration(call: Call) -> bool:
    return call.model.per_audio_hour > 0


def _write_hearing(script: Script, call: Call) -> Answer:
    text, used = script.texts[0], script.used
    usage: JsonObject = {
        "type": "tokens",
        "input_tokens": used.prompt,
        "input_token_details": {"text_tokens": used.input, "audio_tokens": used.input_audio},
        "output_tokens": used.output,
        "total_tokens": used.prompt + used.output,
    }
    if _is_by_duration(call):
        usage = {"type": "duration", "seconds": _seconds(script.prompt.body["file"])}
    shown: JsonObject = {} if script.asked.usage is UsageReport.NONE else {"usage": usage}
    if script.prompt.stream:
        kind = "transcript.text"
        chunks = [sse({"type": f"{kind}.delta", "delta": p}) for p in pieces(text, script.chunks)]
        closing = sse({"type": f"{kind}.done", "text": text, **shown})
        error = sse(OPENAI.error(500, BROKE_DOWN, ""))
        return Stream(b"", chunks, closing, lambda _sent: error)
    if script.prompt.body.get("response_format") == "text":
        return Document(text.encode() + b"\n", b"text/plain; charset=utf-8")
    return Document(encode({"text": text, **shown}))


def _hearing_used(script: Script, call: Call) -> Used:
    if _is_by_duration(call):
        return Used(audio_ms=_seconds(script.prompt.body["file"]) * 1000)
    return script.used


def form_of(body: bytes, media_type: bytes) -> dict[str, Any]:
    """The fields of a multipart form; a field with a file name keeps its bytes (RFC 7578)."""
    _, _, boundary = media_type.partition(b"boundary=")
    boundary = boundary.split(b";")[0].strip().strip(b'"')
    if not boundary:
        raise RejectedError("expected multipart/form-data with a boundary")
    fields: dict[str, Any] = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode("utf-8", "replace")
        value = value.removesuffix(b"\r\n")
        fields[name] = value if b"filename=" in head else value.decode("utf-8", "replace")
    return fields


IMAGES: Final = Operation(
    dialect=OPENAI,
    name="images.generations",
    kinds=("image",),
    read=_read_image,
    write=_write_image,
    bill=_image_used,
)
SPEECH: Final = Operation(
    dialect=OPENAI,
    name="audio.speech",
    kinds=("speech",),
    read=_read_speech,
    write=_write_speech,
    bill=_speech_used,
)
TRANSCRIPTIONS: Final = Operation(
    dialect=OPENAI,
    name="audio.transcriptions",
    kinds=("hearing",),
    read=_read_hearing,
    write=_write_hearing,
    bill=_hearing_used,
)
