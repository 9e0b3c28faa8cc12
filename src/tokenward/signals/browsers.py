"""Is it the browser it says it is? Scripts copy a User-Agent, and forget what goes with it."""

import re
from collections.abc import Iterator
from typing import Final

from tokenward.signals.head import Head

_CHROME: Final = re.compile(r"(?:Headless)?Chrome/([0-9]{1,4})")
_BRAND: Final = re.compile(r'"Chromium";v="([0-9]{1,4})')
_HINTS_FROM: Final = 89
"""The first Chrome with client hints (2021)."""
_EMBEDDED: Final = ("Electron/", "; wv)")
"""Chrome inside of another program, which may leave hints out."""
_PLATFORMS: Final = {'"macOS"': "Macintosh", '"Windows"': "Windows"}


def browser_contradictions(head: Head) -> Iterator[str]:
    """Sentences about a head whose User-Agent is a browser's."""
    agent, hints = head.value("user-agent"), head.value("sec-ch-ua")
    if head.value("sec-fetch-mode") == "navigate" and head.value("content-type") in (
        "application/json",
        "text/event-stream",
    ):
        yield "the call says that a browser opens a page, and sends JSON, which no page does"
    chrome = _CHROME.search(agent)
    if chrome is None:
        return
    if "(KHTML, like Gecko)" not in agent:
        yield "the User-Agent names Chrome, but lacks what every Chrome writes in it"
    version = int(chrome[1])
    if not hints:
        # Hints and Brotli go over TLS alone, so Brotli without hints is no Chrome.
        is_secure = "br" in head.value("accept-encoding")
        if version >= _HINTS_FROM and is_secure and not any(each in agent for each in _EMBEDDED):
            yield "the User-Agent names Chrome, but there is no Sec-CH-UA, which Chrome sends"
        return
    brand = _BRAND.search(hints)
    if brand is not None and int(brand[1]) != version:
        yield f"the User-Agent names Chrome {version}, Sec-CH-UA {int(brand[1])}"
    system = _PLATFORMS.get(head.value("sec-ch-ua-platform"))
    if system is not None and system not in agent:
        yield f"the User-Agent does not name {system}, but Sec-CH-UA-Platform does"
