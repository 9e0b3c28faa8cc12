"""How many tokens can the input of a request be? An upper bound, from its bytes.

Text: a token of a byte-level or byte-fallback tokenizer stands for at least one byte, and JSON
never writes a character in fewer bytes than UTF-8 does; so text is at most the bytes of the body.
The names, quotes and braces of the body also count, and pay for what chat templates and the
rendering of tools add (`{"role":"user","content":""}` is 28 bytes, its template 4 to 8 tokens);
fixed margins are added where a template writes more than that. Pictures and recordings are
bounded by their own rules, and their base64 is not counted as text.
Not covered: tokenizers that first expand text (some do for rare compatibility characters).
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.kernel.usage import Usage
from tokenward.providers.openai.sound import recording_ms_most
from tokenward.providers.request_body import as_object, as_text

TEMPLATE_TOKENS: Final = 128
"""Once a request: start and end marks, a default system message (the longest known is 100)."""
TOOLS_TOKENS: Final = 384
"""Once a request with tools: the instructions some templates wrap them in (about 200)."""
MESSAGE_TOKENS: Final = 8
"""Once a message, on top of its JSON syntax."""
SOUND_TOKENS_PER_S: Final = 25
"""OpenAI counts 10 tokens a second of input audio; open audio encoders make up to 25."""

IMAGE_TOKENS: Final = (
    # tiles of 512 px, at most 8 after scaling to 2048 x 768: base + 8 * tile
    (re.compile(r"gpt-4o-mini"), 2_833 + 8 * 5_667),
    (re.compile(r"gpt-4o|gpt-4-turbo|gpt-4\.5|gpt-4\.1(?!-)|chatgpt-4o|o1|o3"), 85 + 8 * 170),
    # patches of 32 px, at most 2,500, times at most 2.46
    (re.compile(r"gpt-4\.1-(?:mini|nano)|gpt-5(?:-mini|-nano)?(?:-20\d\d|$)|o4-mini"), 6_150),
)
"""The most tokens an image can be at any `detail`, by family of models. Source: OpenAI's guide
"Images and vision" (sizes, tiles and patches of each model)."""
IMAGE_TOKENS_DEFAULT: Final = 24_600
"""Any other model: 10,000 patches (`detail: original`) at the highest known factor, 2.46."""

_INLINE: Final = re.compile(r"data:[^,]{0,200};base64,")
_TEXT_PARTS: Final = frozenset(
    ("text", "input_text", "output_text", "refusal", "reasoning_text", "summary_text")
)
_IMAGE_PARTS: Final = frozenset(("image_url", "input_image", "computer_screenshot"))


@dataclass(slots=True)
class InputBound:
    """Grows while the parts of a request are read. `text_bytes` starts as the body's size."""

    model: str
    text_bytes: int
    margin_tokens: int = TEMPLATE_TOKENS
    image_tokens: int = 0
    sound_tokens: int = 0
    is_kept_long: bool = False
    """A cache entry may be written for longer than the usual half hour, at a higher price."""
    open_ended: str = ""
    texts: list[str] = field(default_factory=list)

    def usage(self) -> Usage:
        """The bound, in the dearest buckets that input can land in: text and pictures may be
        written to a cache, which costs more than reading them; sound has a price of its own."""
        written = self.text_bytes + self.margin_tokens + self.image_tokens
        return Usage(
            cache_write_1h=written if self.is_kept_long else 0,
            cache_write_5m=0 if self.is_kept_long else written,
            input_audio=self.sound_tokens,
        )

    def open_up(self, why: str) -> None:
        """Note what makes the input unknowable from the request."""
        self.open_ended = self.open_ended or why

    def add_text(self, text: str) -> None:
        """Note a text that can be counted exactly; its bytes are in `text_bytes` already."""
        self.texts.append(text)

    def add_content(self, content: JsonValue, where: str) -> None:
        """The content of a message: a string, or a list of parts."""
        if isinstance(content, str):
            self.add_text(content)
        elif isinstance(content, list):
            for index, part in enumerate(content):
                if isinstance(part, str):
                    self.add_text(part)
                else:
                    self._add_part(as_object(part, f"{where}[{index}]"), f"{where}[{index}]")
        elif content is not None:
            raise ValueError(f"{where}: must be a string or a list")

    def _add_part(self, part: JsonObject, where: str) -> None:
        kind = part.get("type")
        self.note_cache(part.get("prompt_cache_breakpoint"))
        if not isinstance(kind, str):
            raise ValueError(f"{where}.type: must be a string")
        if kind in _TEXT_PARTS:
            self.add_text(as_text(part.get("text"), f"{where}.text"))
        elif kind in _IMAGE_PARTS:
            self.add_image(part.get("image_url"), f"{where}.image_url")
        elif kind == "input_audio":
            self._add_sound(as_object(part.get("input_audio"), f"{where}.input_audio"), where)
        else:
            self.open_up(f"{where} is of the kind {kind[:40]!r}, whose size the request hides")

    def add_image(self, image: JsonValue, where: str) -> None:
        """An image by address, inline or by file id: the same ceiling for all."""
        url = image.get("url") if isinstance(image, dict) else image
        self.image_tokens += image_tokens_most(self.model)
        inline = _INLINE.match(as_text(url, where))
        if inline is not None:
            assert isinstance(url, str), "what matched is a string"
            self.text_bytes -= len(url) - inline.end()

    def _add_sound(self, sound: JsonObject, where: str) -> None:
        data = as_text(sound.get("data"), f"{where}.input_audio.data")
        try:
            recording = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"{where}.input_audio.data: must be base64") from None
        length_ms = recording_ms_most(recording)
        if length_ms is None:
            self.open_up(f"{where} is a recording whose length only plain WAV and MP3 tell")
            length_ms = 0
        self.sound_tokens += -(-length_ms * SOUND_TOKENS_PER_S // 1000)
        self.text_bytes -= len(data)

    def note_cache(self, options: JsonValue) -> None:
        """Look at cache options for a lifetime that is billed higher."""
        if isinstance(options, dict) and options.get("ttl") not in (None, "30m"):
            self.is_kept_long = True


def image_tokens_most(model: str) -> int:
    """The most input tokens one image can be for this model."""
    family = model.rpartition("/")[2].removeprefix("ft:")
    for pattern, tokens in IMAGE_TOKENS:
        if pattern.match(family):
            return tokens
    return IMAGE_TOKENS_DEFAULT


def utf8_size(text: str) -> int:
    """The bytes of `text` in UTF-8; half a surrogate pair counts as the mark that replaces it."""
    return len(text.encode("utf-8", "surrogatepass"))


def countable(texts: list[str]) -> tuple[str, ...]:
    """`texts` for an exact count, or none of them where one is no Unicode text (JSON can write
    half a surrogate pair, which a tokenizer cannot read)."""
    try:
        return tuple(text for text in texts if text.encode("utf-8"))
    except UnicodeEncodeError:
        return ()
