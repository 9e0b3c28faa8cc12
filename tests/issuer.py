"""A self-made issuer of workload tokens on loopback: discovery, keys that rotate, and bad days."""

import json
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"
_HASHES: dict[str, Any] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key for tests; the same for the same number, because they take long to make."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def text64(data: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number64(number: int, length: int = 0) -> str:
    """A number as JWK writes it."""
    return text64(number.to_bytes(length or (number.bit_length() + 7) // 8))


def jwk_of(key: PrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    """The public half."""
    if isinstance(key, rsa.RSAPrivateKey):
        public = key.public_key().public_numbers()
        return {"kty": "RSA", "kid": kid, "n": number64(public.n), "e": number64(public.e), **more}
    point = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[key.curve.name]
    return {
        "kty": "EC", "kid": kid, "crv": curve,
        "x": number64(point.x, size), "y": number64(point.y, size), **more,
    }  # fmt: skip


def sign(key: PrivateKey, algorithm: str, signed: bytes) -> bytes:
    """By `cryptography` alone, so that the tests do not verify with what has signed."""
    digest = _HASHES[algorithm[2:]]()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
        return r.to_bytes(size) + s.to_bytes(size)
    if algorithm.startswith("PS"):
        pss = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
        return key.sign(signed, pss, digest)
    return key.sign(signed, padding.PKCS1v15(), digest)


def write_token(
    header: Mapping[str, Any], claims: Mapping[str, Any] | bytes, signature: Any
) -> str:
    """`signature` is bytes, or a function that signs."""
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{text64(json.dumps(header).encode())}.{text64(body)}"
    made = signature(signed.encode()) if callable(signature) else signature
    return f"{signed}.{text64(made)}"


class SelfMadeIssuer:
    """Its keys by `kid`; `answers[path]` takes the place of what it would say there."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, PrivateKey] = {"one": rsa_key()}
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.wait_s = 0.0
        self.asked: Counter[str] = Counter()

    def claims(self, **more: Any) -> dict[str, Any]:
        """What every token of it says; None takes a claim out."""
        now_s = int(time.time())
        plain = {"iss": self.url, "jti": uuid.uuid4().hex, "iat": now_s, "exp": now_s + 300}
        return {name: value for name, value in (plain | more).items() if value is not None}

    def token(
        self, kid: str = "one", algorithm: str = "RS256", header: Any = None, **claims: Any
    ) -> str:
        """A signed token; `header` adds to its header."""
        key = self.keys[kid]
        head = {"typ": "JWT", "alg": algorithm, "kid": kid, **(header or {})}
        return write_token(head, self.claims(**claims), lambda b: sign(key, algorithm, b))

    def documents(self) -> dict[str, Any]:
        """What it publishes, by path."""
        return {
            DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + JWKS},
            JWKS: {"keys": [jwk_of(key, kid) for kid, key in self.keys.items()]},
        }

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        self.asked[path] += 1
        time.sleep(self.wait_s)
        if path in self.answers:
            return self.answers[path]
        document = self.documents().get(path)
        if document is None:
            return 404, {}, b"{}"
        return 200, {"content-type": "application/json"}, json.dumps(document).encode()


@contextmanager
def running_issuer() -> Iterator[SelfMadeIssuer]:
    """An issuer in a thread of its own, on any free port of loopback."""
    issuer = SelfMadeIssuer()

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:
            status, headers, body = issuer.answer(self.path)
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:  # the guard had enough of it
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
