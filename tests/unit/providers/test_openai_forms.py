"""Multipart requests of the OpenAI dialect, and how long a recording can be."""

import pytest

from openai_calls import FORM_TYPE, asked, form, refused, rewritten
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask
from tokenward.providers.openai import OPENAI
from tokenward.providers.openai.form import PARTS_MAX, read_form
from tokenward.providers.openai.sound import recording_ms_most

B = b"x7MA4YWxkTrZu0gW"
MP3 = b"\xff\xfb\x90\x00" + b"\0" * 9_996


def fmt(form_tag: int = 1, channels: int = 1, rate: int = 8_000, bits: int = 8) -> bytes:
    return (
        b"fmt "
        + (40).to_bytes(4, "little")
        + form_tag.to_bytes(2, "little")
        + channels.to_bytes(2, "little")
        + rate.to_bytes(4, "little")
        + bytes(6)
        + bits.to_bytes(2, "little")
        + bytes(8)
        + b"\1\0"
        + bytes(14)
    )


def wav(chunks: bytes, size: int = 80_000) -> bytes:
    return (b"RIFF\0\0\0\0WAVE" + chunks + b"data\0\0\0\0").ljust(size, b"\0")


@pytest.mark.parametrize(
    ("recording", "length_ms"),
    [
        (wav(fmt()), 10_000),
        (wav(fmt(channels=2, bits=16)), 2_500),
        (wav(b"LIST\5\0\0\0abcde\0" + fmt()), 10_000),
        (wav(fmt(form_tag=0xFFFE)), 10_000),
        (wav(fmt(form_tag=0x11)), None),  # ADPCM
        (wav(fmt(rate=1)), None),
        (wav(fmt(bits=1)), None),
        (wav(fmt(channels=0)), None),
        (wav(b""), None),
        (MP3, 10_000),
        (b"ID3\4\0\0\0\0\1\0" + bytes(128) + MP3[:1_862], 2_000),
        (b"ID3\4\0\0\0\0\1\0" + bytes(128) + b"fLaC", None),
        (b"\xff\xf1" + bytes(100), None),  # AAC
        (b"fLaC" + bytes(100), None),
        (b"OggS" + bytes(100), None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_only_plain_wav_and_mp3_tell_their_length(recording: bytes, length_ms: int | None) -> None:
    assert recording_ms_most(recording) == length_ms


def test_a_form_is_read() -> None:
    body = form(
        [("model", "whisper-1"), ("include[]", "a"), ("include[]", "b"), ("file", b"\r\n-")]
    )
    read = read_form(FORM_TYPE.encode(), body)
    assert read.texts == {"model": "whisper-1"}
    assert read.listed == [("include[]", "a"), ("include[]", "b")]
    assert read.files == [("file", b"\r\n-")]
    assert read_form(b'multipart/form-data; boundary="x7MA4YWxkTrZu0gW"', body) == read


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"preamble\r\n--" + B + b"--",
        b"--" + B + b"\r\n\r\nx\r\n--" + B + b"--",
        b"--" + B + b'\nContent-Disposition: form-data; name="a"\n\nx\n--' + B + b"--",
        form([("model", "a"), ("model", "b")]),
        form([("model", "a")])[:-6],
        form([("model", "a")]) + b"epilogue",
        form([("model", "a\n--" + B.decode() + "\nx")]),
        form([("mo%64el", "a")]),
        form([('mo"del', "a")]),
        form([("model", "a")]).replace(b'name="model"', b"name=model"),
        form([("model", "a")]).replace(b'name="model"', b"name=\"x\"; name*=utf-8''model"),
        form([("model", "a")]).replace(
            b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        ),
        form([("model", "a")]).replace(b"form-data;", b"form-data;\r\n "),
        form([("model", "a")]).replace(b"a", b"\xff", 1),
        form([(f"f{index}", "x") for index in range(PARTS_MAX + 1)]),
    ],
)
def test_a_form_that_two_readers_could_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_form(FORM_TYPE.encode(), body)


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"multipart/form-data",
        b"application/json",
        b"multipart/form-data; boundary=a; boundary=b",
    ],
)
def test_the_content_type_names_one_boundary(content_type: bytes) -> None:
    with pytest.raises(ValueError, match="boundary"):
        read_form(content_type, form([("a", "b")]))


def transcription(recording: bytes, model: str, operation: str = "transcriptions") -> Ask:
    body = form([("file", recording), ("model", model), ("prompt", "names: Zoë")])
    return asked(operation, body, content_type=FORM_TYPE)


def test_whisper_is_bounded_by_the_length_of_the_recording() -> None:
    ask = transcription(MP3, "whisper-1")
    assert (ask.most, ask.has_output, ask.unbounded) == (Usage(audio_ms=10_000), False, "")
    assert transcription(b"OggS", "whisper-1", "translations").unbounded


def test_transcription_by_tokens_is_bounded_or_open_ended() -> None:
    ask = transcription(MP3, "gpt-4o-mini-transcribe")
    assert ask.most.input_audio == 250
    assert ask.output_asked == 16_384
    assert transcription(b"OggS", "gpt-4o-transcribe").open_ended


def test_a_recording_must_be_there_once() -> None:
    for fields in (
        [("model", "whisper-1")],
        [("model", "whisper-1"), ("file", MP3), ("file", MP3)],
    ):
        assert "file" in refused("transcriptions", form(fields), content_type=FORM_TYPE).message
    assert "model" in refused("translations", form([("file", MP3)]), content_type=FORM_TYPE).message


def test_an_edit_is_bounded_by_its_pictures() -> None:
    fields: list[tuple[str, str | bytes]] = [
        ("model", "gpt-image-1.5"),
        ("prompt", "a hat"),
        ("n", "2"),
        ("quality", "medium"),
        ("image[]", b"\x89PNG"),
        ("mask", b"\x89PNG"),
    ]
    ask = asked("image_edits", form(fields), content_type=FORM_TYPE)
    assert ask.most.input_image == 2 * 2 * 16_384
    assert (ask.output_asked, ask.choices) == (1_584, 2)
    bad = [*fields[:2], ("n", "two"), *fields[4:]]
    assert "n:" in refused("image_edits", form(bad), content_type=FORM_TYPE).message
    assert "image" in refused("image_edits", form(fields[:4]), content_type=FORM_TYPE).message


def test_a_form_goes_on_unchanged() -> None:
    body = form([("model", "whisper-1"), ("file", MP3)])
    ask = asked("transcriptions", body, content_type=FORM_TYPE)
    route = next(route for route in OPENAI.routes if route.operation == "transcriptions")
    assert ask.route == route
    assert rewritten("moderations", b'{"input":"x"}', 5) == b'{"input":"x"}'
