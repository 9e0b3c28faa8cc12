"""What stands before the body of a request."""

import pytest

from tokenward.http.provider.request_head import request_head
from tokenward.kernel.errors import UnfitError
from tokenward.providers.interfaces import Headers


def head(*headers: tuple[bytes, bytes], method: str = "POST", body_bytes: int = 2) -> bytes:
    return request_head(method, "/v1?a=b", "example.com:8080", headers, body_bytes)


def test_a_head_is_the_callers_headers_between_ours() -> None:
    sent = head((b"X-A", b"1"), (b"x-b", b""), (b"x-a", b"caf\xc3\xa9"))
    assert sent == (
        b"POST /v1?a=b HTTP/1.1\r\nHost: example.com:8080\r\nx-a: 1\r\nx-b: \r\n"
        b"x-a: caf\xc3\xa9\r\nContent-Length: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "body_bytes", "says"),
    [
        ("POST", 0, b"Content-Length: 0\r\n"),
        ("PUT", 0, b"Content-Length: 0\r\n"),
        ("PATCH", 0, b"Content-Length: 0\r\n"),
        ("GET", 0, b""),
        ("DELETE", 0, b""),
        ("DELETE", 7, b"Content-Length: 7\r\n"),
    ],
)
def test_a_length_is_said_where_a_body_is_or_might_be(
    method: str, body_bytes: int, says: bytes
) -> None:
    lines = head(method=method, body_bytes=body_bytes)
    assert lines == b"%b /v1?a=b HTTP/1.1\r\nHost: example.com:8080\r\n" % method.encode() + (
        says + b"\r\n"
    )


FRAMING = (
    b"Host", b"CONTENT-LENGTH", b"transfer-encoding", b"Connection", b"keep-alive", b"expect",
    b"upgrade", b"te", b"trailer", b"proxy-connection", b"proxy-authorization",
)  # fmt: skip


@pytest.mark.req("S-6")
@pytest.mark.parametrize("name", FRAMING)
def test_what_frames_a_message_is_never_the_callers(name: bytes) -> None:
    assert head((name, b"evil")) == head()


BAD: Headers = (
    *((b"x-a", b"a" + bytes([octet]) + b"b") for octet in range(0x20) if octet != 0x09),
    (b"x-a", b"\x7f"),
    (b"x-a", b"a\r\nx-evil: 1"),
    (b"x-a", b"\r\n"),
    (b"x-a", b"a\r\n\r\nGET / HTTP/1.1"),
    (b"x-a", b"caf\xe9"),
    (b"x-a", b"\xc3"),
    *((b"x" + bytes([octet]) + b"y", b"1") for octet in b'\0\t\r\n "(),/:;<=>?@[\\]{}\x7f\x80\xff'),
    (b"", b"1"),
    (b"x-a\r\nx-evil", b"1"),
)


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_header_that_cannot_be_in_http_is_unfit_and_not_repeated(
    name: bytes, value: bytes
) -> None:
    with pytest.raises(UnfitError) as caught:
        head((b"x-good", b"1"), (name, value), (b"x-also-good", b"2"))
    assert str(caught.value) == ("a header was not sent on: its name or value cannot be in HTTP")


def test_two_halves_of_a_letter_in_two_headers_do_not_make_it_whole() -> None:
    with pytest.raises(UnfitError):
        head((b"x-a", b"\xc3"), (b"x-b", b"\xa9"))
