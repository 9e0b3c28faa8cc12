"""How long can a recording be? Upper bounds, from its first bytes and its size."""

from typing import Final

MP3_BYTES_PER_S_MIN: Final = 1_000
"""The lowest bit rate of MPEG audio, 8 kbit/s (ISO/IEC 13818-3, table of bit rates)."""
WAV_RATE_MIN: Final = 4_000
"""A WAV file that says it holds fewer samples a second is not believed to be one."""
_PCM: Final = (1, 3)  # whole numbers, floating point; everything else is a codec
_EXTENSIBLE: Final = 0xFFFE


def recording_ms_most(data: bytes) -> int | None:
    """The longest that `data` can play, in milliseconds; None where its bytes cannot tell.

    Only plain WAV and MP3 can tell. Other formats (FLAC, Ogg, WebM, MP4) may hold hours of
    silence in a few bytes.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        bytes_per_s = _wav_bytes_per_s(data)
    elif _is_mp3(data):
        bytes_per_s = MP3_BYTES_PER_S_MIN
    else:
        return None
    return -(-len(data) * 1000 // bytes_per_s) if bytes_per_s else None


def _wav_bytes_per_s(data: bytes) -> int:
    """Bytes a second of plain samples; 0 when they are coded or the header makes no sense."""
    at = 12
    while at + 24 <= min(len(data), 4096):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"fmt ":
            form = _number(data, at + 8)
            if form == _EXTENSIBLE and size >= 40:
                form = _number(data, at + 32)
            channels, bits = _number(data, at + 10), _number(data, at + 22)
            rate = int.from_bytes(data[at + 12 : at + 16], "little")
            is_plain = form in _PCM and channels >= 1 and bits in (8, 16, 24, 32, 64)
            return rate * channels * bits // 8 if is_plain and rate >= WAV_RATE_MIN else 0
        at += 8 + size + size % 2
    return 0


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _is_mp3(data: bytes) -> bool:
    at = 0
    if data[:3] == b"ID3" and len(data) > 10:
        size = 0
        for byte in data[6:10]:  # four times seven bits (ID3v2, section 3.1)
            size = size << 7 | byte & 0x7F
        at = 10 + size
    frame = data[at : at + 2]
    # Eleven bits of sync, and a layer: AAC frames look alike but have none.
    return len(frame) == 2 and frame[0] == 0xFF and frame[1] & 0xE0 == 0xE0 and frame[1] & 6 != 0
