"""POST /v1/audio/…: what may it cost at most?

Whisper and its like are billed by the length of the recording, `gpt-4o-transcribe` and its like
by tokens; `tts-1` and its like by the characters spoken, other voices by the tokens of the sound
they make, which no member of the request limits.
"""

import re
from typing import Final

from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask, Request
from tokenward.providers.openai import fields
from tokenward.providers.openai.form import Form, read_form
from tokenward.providers.openai.input_bound import (
    SOUND_TOKENS_PER_S,
    TEMPLATE_TOKENS,
    utf8_size,
)
from tokenward.providers.openai.sound import recording_ms_most
from tokenward.providers.request_body import as_model_name, as_text

TRANSCRIPT_TOKENS_MAX: Final = 16_384
"""A recording may be 1,500 s long for models billed by tokens (OpenAI, "Speech to text"); speech
is at most about 8,000 tokens of text in that time. Twice that."""

_BY_TOKENS: Final = re.compile(r"(?:^|/)gpt-4o.*transcribe")
_BY_CHARACTERS: Final = re.compile(r"(?:^|/)tts-")


def speak(request: Request, document: JsonObject) -> Ask:
    """POST /v1/audio/speech."""
    model = as_model_name(document.get("model"), "model")
    text = as_text(document.get("input"), "input")
    if not text:
        raise ValueError("input: must not be empty")
    instructions = as_text(document.get("instructions"), "instructions")
    if _BY_CHARACTERS.search(model):
        return Ask(
            route=request.route, model=model, most=Usage(characters=len(text)), has_output=False
        )
    return Ask(
        route=request.route,
        model=model,
        stream=as_text(document.get("stream_format"), "stream_format") == "sse",
        most=Usage(input=utf8_size(text) + utf8_size(instructions) + TEMPLATE_TOKENS),
        output_bucket="output_audio",
        unbounded=f"{model} bills the sound it makes, and nothing in the request limits its length",
    )


def transcribe(request: Request) -> Ask:
    """POST /v1/audio/transcriptions and /v1/audio/translations."""
    form = read_form(request.headers.get(b"content-type", b""), request.body)
    model = as_model_name(form.texts.get("model"), "model")
    fields.refuse_detours(dict(form.texts))
    files = [content for name, content in form.files if name == "file"]
    if len(files) != 1 or len(form.files) != 1:
        raise ValueError("file: there must be one recording")
    length_ms = recording_ms_most(files[0])
    stream = form.texts.get("stream", "").lower() in ("true", "1")
    if _BY_TOKENS.search(model):
        return _by_tokens(request, model, form, length_ms, stream)
    unbounded = ""
    if length_ms is None:
        unbounded = "only plain WAV and MP3 tell how long the recording is, which is what is billed"
    return Ask(
        route=request.route,
        model=model,
        stream=stream,
        most=Usage(audio_ms=length_ms or 0),
        has_output=False,
        unbounded=unbounded,
    )


def _by_tokens(
    request: Request, model: str, form: Form, length_ms: int | None, stream: bool
) -> Ask:
    words = sum(utf8_size(text) for text in form.texts.values())
    words += sum(utf8_size(text) for _, text in form.listed)
    why = "only plain WAV and MP3 tell how long the recording is"
    return Ask(
        route=request.route,
        model=model,
        stream=stream,
        most=Usage(
            input=words + TEMPLATE_TOKENS,
            input_audio=-(-(length_ms or 0) * SOUND_TOKENS_PER_S // 1000),
        ),
        output_asked=TRANSCRIPT_TOKENS_MAX,
        open_ended=why if length_ms is None else "",
    )
