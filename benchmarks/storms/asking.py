"""Requests to a gateway's own API."""

from typing import Any, Final

import aiohttp

LIMIT_S: Final = 60.0


class RefusedError(Exception):
    """The gateway did not do it: its status and what it said."""


async def ask(method: str, url: str, token: str, body: dict[str, Any] | None = None) -> Any:
    """Its JSON. Raises RefusedError unless the status is 2xx."""
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    headers = {"authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.request(method, url, json=body, headers=headers) as answer,
    ):
        text = await answer.text()
        if answer.status >= 300:
            raise RefusedError(f"{method} {url}: {answer.status} {text[:500]}")
        return await answer.json(content_type=None)
