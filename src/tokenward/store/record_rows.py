"""Records of requests as rows, the same in every engine."""

from typing import Final

import msgspec

from tokenward.kernel.events import Record

LIST_MAX: Final = 10_000
Row = tuple[int, str, bytes]
"""When, of which key, and the record as JSON."""
_encode: Final = msgspec.json.Encoder().encode
read_record: Final = msgspec.json.Decoder(Record).decode


def row_of(record: Record) -> Row:
    """The record written down; what is not text in it is replaced."""
    try:
        return record.ts, record.key, _encode(record)
    except UnicodeEncodeError:
        record = _printable(record)
        return record.ts, record.key, _encode(record)


def _printable(record: Record) -> Record:
    """The record with what is not text replaced: a lone surrogate cannot be written down."""
    texts = {
        name: value.encode("utf-8", "replace").decode("utf-8")
        for name in record.__struct_fields__
        if isinstance(value := getattr(record, name), str)
    }
    doubts = tuple(doubt.encode("utf-8", "replace").decode("utf-8") for doubt in record.doubts)
    return msgspec.structs.replace(record, **texts, doubts=doubts)
