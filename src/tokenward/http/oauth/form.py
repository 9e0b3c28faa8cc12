"""What does a client ask? A form, read strictly: each name once, in the body alone."""

import re
from typing import Final
from urllib.parse import parse_qsl

from tokenward.http.oauth.denied import Denied, denied_request

BODY_BYTES_MAX: Final = 64 * 1024
BODY_WAIT_S: Final = 10.0
FIELDS_MAX: Final = 64
_FORM: Final = re.compile(rb"application/x-www-form-urlencoded[ \t]*(;.*)?", re.IGNORECASE)


def read_form(content_type: bytes, body: bytes) -> dict[str, str] | Denied:
    """The parameters by name. One without a value counts as left out, one that stands twice spoils
    the request (RFC 6749 section 3.2)."""
    if _FORM.fullmatch(content_type) is None:
        return denied_request("Send the parameters as application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=FIELDS_MAX,
            errors="strict",
        )
    except ValueError:
        return denied_request("The body is not a form that can be read.")
    form = dict(pairs)
    if len(form) != len(pairs):
        return denied_request("A parameter stands twice in the body.")
    return {name: value for name, value in form.items() if value}
