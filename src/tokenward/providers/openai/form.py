"""A multipart/form-data body, read so strictly that no other reader can see other fields in it.

RFC 7578 with RFC 2046 section 5.1, in the one form that HTTP clients write. Anything looser
(a preamble, folded or unknown part headers, a name twice) is refused with ValueError.
"""

import re
from dataclasses import dataclass, field
from typing import Final

PARTS_MAX: Final = 64
_BOUNDARY: Final = re.compile(
    rb"""multipart/form-data\s*;\s*boundary=(?:"([^"\\]{1,70})"|([0-9A-Za-z'()+_,./:=?-]{1,70}))\s*""",
    re.IGNORECASE,
)
_DISPOSITION: Final = re.compile(
    rb'content-disposition:[ \t]*form-data;[ \t]*name="([A-Za-z0-9_.-]{1,64}(?:\[\w{0,64}\]){0,4})"'
    rb'(?:;[ \t]*filename="((?:[^"\r\n\\]|\\.){0,512})")?[ \t]*',
    re.IGNORECASE,
)
_OTHER_HEADER: Final = re.compile(rb"content-(?:type|length):[^\r\n]{0,256}", re.IGNORECASE)


@dataclass(slots=True)
class Form:
    """Texts by name (the values of a name that ends in `[]` are all kept), and files in order."""

    texts: dict[str, str] = field(default_factory=dict)
    listed: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)


def read_form(content_type: bytes, body: bytes) -> Form:
    """The fields of `body`; ValueError says what is wrong with it."""
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        raise ValueError("content-type: must be multipart/form-data with a boundary")
    delimiter = b"--" + (match.group(1) or match.group(2))
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if pieces[0] or len(pieces) < 2 or pieces[-1] not in (b"--", b"--\r\n"):
        raise ValueError("the body does not begin and end with its boundary")
    if len(pieces) - 2 > PARTS_MAX:
        raise ValueError(f"the body has more than {PARTS_MAX} parts")
    if body.count(delimiter) != len(pieces) - 1:
        raise ValueError("the boundary stands inside a part")
    form = Form()
    for piece in pieces[1:-1]:
        _add_part(form, piece)
    return form


def _add_part(form: Form, piece: bytes) -> None:
    head, blank, content = piece.partition(b"\r\n\r\n")
    if not piece.startswith(b"\r\n") or not blank:
        raise ValueError("a part of the body has no header")
    name, is_file = _read_head(head.removeprefix(b"\r\n"))
    if is_file:
        form.files.append((name, content))
        return
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{name}: is not UTF-8") from None
    if name.endswith("[]"):
        form.listed.append((name, text))
    elif name in form.texts:
        raise ValueError(f"{name}: stands twice in the body")
    else:
        form.texts[name] = text


def _read_head(head: bytes) -> tuple[str, bool]:
    found: re.Match[bytes] | None = None
    for line in head.split(b"\r\n"):
        disposition = _DISPOSITION.fullmatch(line)
        if disposition is not None and found is None:
            found = disposition
        elif _OTHER_HEADER.fullmatch(line) is None:
            raise ValueError("a part of the body has a header that cannot be read")
    if found is None:
        raise ValueError("a part of the body has no name")
    return found.group(1).decode("ascii"), found.group(2) is not None
