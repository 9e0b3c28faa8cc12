"""Enrolment against a small verifying server: the guard's side of the wire, as RFC 9449 has it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest

from tokenward.client import enrolment
from tokenward.client.enrolment import enrol
from tokenward.client.errors import EnrolmentError, KeepingError
from tokenward.client.keeping import holder_path, is_kept, load_holder, save_holder
from unit.client.holders import KEY, KEY_ID, NOW_S, Seen, holder, verified

CODE = "tw_ec_AbCdEf0123450123456789ABCDEFGHIJKLMNOPQRSTUVxxxxxx"
Answer = tuple[int, dict[str, str], bytes]


class Desk:
    """Answers enrolments as the test says; keeps what it saw."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[str, str, dict[str, list[str]], Seen]] = []
        self.answer: Callable[[Seen], Answer | None] = self.enrolled

    @staticmethod
    def enrolled(seen: Seen, **other: Any) -> Answer:
        """A guard's yes."""
        said = {
            "id": KEY_ID,
            "key": KEY,
            "bind": "dpop",
            "thumbprint": seen.thumbprint,
            "account": "default",
            "project": "tests",
            "expires_at": None,
        }
        return 200, {"DPoP-Nonce": "later"}, json.dumps({**said, **other}).encode()


def refusal(error: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"error": error, "error_description": "because\x1b[31m of it"}
    return 400, named, json.dumps(body).encode()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            proof = verified(self.headers["dpop"])
            kind = self.headers["content-type"]
            made.seen.append((self.path, kind, parse_qs(form, strict_parsing=True), proof))
            answer = made.answer(proof)
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_code_becomes_a_holder_that_is_kept(desk: Desk) -> None:
    made = enrol(desk.url + "/", CODE)
    ((path, kind, form, proof),) = desk.seen
    assert path == "/oauth/enrolment"
    assert kind == "application/x-www-form-urlencoded"
    assert form == {"code": [CODE]}
    assert (proof.claims["htm"], proof.claims["htu"]) == ("POST", f"{desk.url}/oauth/enrolment")
    assert "ath" not in proof.claims
    assert (made.guard_url, made.key_id, made.bind) == (desk.url, KEY_ID, "dpop")
    kept = load_holder()
    assert kept.key.reveal() == KEY
    assert kept.signer().thumbprint == made.signer().thumbprint == proof.thumbprint


def test_a_nonce_is_answered_once_and_with_the_same_key(desk: Desk) -> None:
    answers = [refusal("use_dpop_nonce", DPoP_Nonce="n1")]
    desk.answer = lambda seen: answers.pop() if answers else desk.enrolled(seen)
    enrol(desk.url, CODE)
    first, second = (proof for *_, proof in desk.seen)
    assert ("nonce" in first.claims, second.claims["nonce"]) == (False, "n1")
    assert first.thumbprint == second.thumbprint
    assert first.claims["jti"] != second.claims["jti"]


def test_a_wrong_clock_is_put_right(desk: Desk) -> None:
    def answer(seen: Seen) -> Answer:
        if seen.claims["iat"] != NOW_S:
            date = formatdate(NOW_S, usegmt=True)
            return refusal("invalid_dpop_proof", Date=date, DPoP_Nonce="n1")
        return desk.enrolled(seen)

    desk.answer = answer
    made = enrol(desk.url, CODE, now_s=lambda: NOW_S + 86_400)
    assert made.created_ms == NOW_S * 1000
    assert len(desk.seen) == 2


def test_a_lost_answer_is_asked_for_again_with_the_same_key(desk: Desk) -> None:
    lost = [None, None]
    desk.answer = lambda seen: lost.pop() if lost else desk.enrolled(seen)
    enrol(desk.url, CODE)
    assert len({proof.thumbprint for *_, proof in desk.seen}) == 1


@pytest.mark.parametrize(
    ("answer", "times", "said"),
    [
        (refusal("invalid_grant"), 1, "tokenward key enrol ID"),
        (refusal("use_dpop_nonce", DPoP_Nonce="same"), 2, "status 400"),
        (refusal("use_dpop_nonce"), 1, "status 400"),
        (refusal("invalid_dpop_proof"), 1, "server.public_urls"),
        ((404, {}, b"not found"), 1, "without /v1"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), 1, "status 302"),
        ((500, {}, b"\xff"), 1, "status 500"),
        (None, 4, "not known whether the code is spent"),
        ((200, {}, b"<html>"), 1, "not a guard"),
        ((200, {}, b"{}"), 1, "not a guard"),
        ((200, {}, b'{"id":"' + b"x" * 100_000 + b'"}'), 1, "not a guard"),
    ],
)
def test_a_no_is_said_with_its_cure_and_nothing_is_kept(
    desk: Desk, answer: Answer | None, times: int, said: str
) -> None:
    desk.answer = lambda _seen: answer
    with pytest.raises(EnrolmentError) as refused:
        enrol(desk.url, CODE)
    assert said in str(refused.value)
    assert CODE not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert len(desk.seen) == times
    assert not is_kept()


@pytest.mark.parametrize("other", [{"thumbprint": "x" * 43}, {"bind": "none"}, {"bind": "mtls"}])
def test_a_key_that_was_bound_otherwise_is_not_kept(desk: Desk, other: dict[str, str]) -> None:
    desk.answer = lambda seen: desk.enrolled(seen, **other)
    with pytest.raises(EnrolmentError):
        enrol(desk.url, CODE)
    assert not is_kept()


def test_no_code_is_spent_where_nothing_can_be_kept(desk: Desk, home: Path) -> None:
    home.write_bytes(b"a file where the folder should be")
    with pytest.raises(KeepingError, match="cannot be written"):
        enrol(desk.url, CODE)
    assert desk.seen == []


def test_a_place_that_broke_meanwhile_is_said_with_the_keys_id(desk: Desk, home: Path) -> None:
    def answer(seen: Seen) -> Answer:
        holder_path().parent.rmdir()
        home.rmdir()
        home.write_bytes(b"a file now")
        return desk.enrolled(seen)

    desk.answer = answer
    with pytest.raises(EnrolmentError, match=f"spent.*tokenward key enrol {KEY_ID}"):
        enrol(desk.url, CODE)


def test_a_new_code_for_the_same_key_replaces_its_holder(desk: Desk) -> None:
    """The guard shut the one before out when it made the code."""
    save_holder(replace(holder(), key_id=KEY_ID))
    made = enrol(desk.url, CODE)
    assert load_holder().signer().thumbprint == made.signer().thumbprint


def test_a_holder_of_another_key_is_only_replaced_when_that_is_said(desk: Desk) -> None:
    save_holder(replace(holder(), key_id="another0key0"))
    with pytest.raises(KeepingError, match="already"):
        enrol(desk.url, CODE)
    assert desk.seen == []
    enrol(desk.url, CODE, name="other")
    made = enrol(desk.url, CODE, replace=True)
    assert load_holder().signer().thumbprint == made.signer().thumbprint


@pytest.mark.parametrize("code", ["", KEY, "tw_rt_x", " " + CODE])
def test_what_is_not_a_code_is_never_sent(desk: Desk, code: str) -> None:
    with pytest.raises(EnrolmentError, match="not an enrolment code"):
        enrol(desk.url, code)
    assert desk.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://guard.test",
        "http://10.0.0.1:8080",
        "guard.test",
        "ftp://guard.test",
        "https://guard.test/?a=b",
        "https://guard.test/#a",
        "https://user:word@guard.test",
        "",
    ],
)
def test_a_code_goes_to_no_doubtful_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment, "_post", None)
    with pytest.raises(EnrolmentError):
        enrol(url, CODE)
    assert not is_kept()


def test_plain_http_elsewhere_only_when_allowed() -> None:
    with pytest.raises(EnrolmentError, match="cannot be reached"):
        enrol("http://guard.invalid", CODE, allow_plain_http=True)


def test_a_guard_that_is_not_there_is_said(desk: Desk) -> None:
    with pytest.raises(EnrolmentError, match=r"cannot be reached.*nothing was sent"):
        enrol("http://127.0.0.1:1", CODE)


def test_a_guard_may_live_below_a_path(desk: Desk) -> None:
    made = enrol(f"{desk.url}/guard/", CODE)
    assert desk.seen[0][0] == "/guard/oauth/enrolment"
    assert made.guard_url == f"{desk.url}/guard"
