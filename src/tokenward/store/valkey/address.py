"""Where is it? The URL of a Valkey or Redis, taken apart."""

import ssl
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from tokenward.kernel.secret import Secret

SCHEMES: Final = ("valkey", "valkeys", "redis", "rediss", "unix")
PORT: Final = 6379
DATABASES: Final = 16


@dataclass(frozen=True, slots=True)
class Address:
    """One server: `host` and `port`, or the `path` of its socket."""

    host: str = ""
    port: int = PORT
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a URL names. `servers` are those that are asked first: of a cluster any few of its
    nodes, else those of which one is the primary. `tls` None: not encrypted."""

    servers: tuple[Address, ...]
    user: str = ""
    password: Secret | None = None
    database: int = 0
    tls: ssl.SSLContext | None = None


def parse_url(url: str, tls: ssl.SSLContext | None = None) -> Target:
    """`valkey://[user:password@]host[:port][,host[:port]…][/database]`, and the same with
    `valkeys`, `redis`, `rediss`; or `unix://[user:password@]/path`. Those with an s are encrypted:
    by `tls`, or checked against the system's certificates. ValueError says what is wrong, and
    never repeats the URL: it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"it must begin with one of {', '.join(SCHEMES)} and ://")
    if parts.query or parts.fragment:
        raise ValueError("it has no options (?…) and no fragment (#…)")
    known, _, hosts = parts.netloc.rpartition("@")
    user, _, password = known.partition(":")
    target = Target(
        servers=(),
        user=unquote(user),
        password=Secret(unquote(password), "password of the hot store") if password else None,
    )
    if parts.scheme == "unix":
        if hosts or not parts.path:
            raise ValueError("unix:// is followed by the path of the socket, from the root on")
        return replace(target, servers=(Address(path=unquote(parts.path)),))
    database = parts.path.strip("/") or "0"
    if not database.isdecimal() or int(database) >= DATABASES:
        raise ValueError(f"after the host may stand a database, 0 to {DATABASES - 1}")
    if parts.scheme in ("valkeys", "rediss"):
        target = replace(target, tls=tls or ssl.create_default_context())
    servers = tuple(_server(host) for host in hosts.split(","))
    return replace(target, servers=servers, database=int(database))


def _server(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("between the commas, or after ://, a host is missing")
    try:
        port = parts.port
    except ValueError:  # its words repeat what stands there
        raise ValueError("after a host and a colon stands its port, 0 to 65535") from None
    return Address(parts.hostname, PORT if port is None else port)
