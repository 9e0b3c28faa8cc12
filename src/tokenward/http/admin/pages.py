"""Long lists come in pages: no question holds the guard for longer than one page takes.

A page that is full links to the next one (RFC 8288): `link: <?limit=…&after=…>; rel="next"`. What
stands after `after` says when the last one seen came into being, and its id: it is found without
looking that one up, which may be gone.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from tokenward.http.admin.route import Ask, Page
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.providers.interfaces import Headers

T = TypeVar("T")
_SEEN: Final = re.compile(r"([0-9]{1,15})\.([!-~]{1,100})")


class SomeOf(Ask):
    """A page of a list: at most `limit`, those that come after `after`, which the link to the page
    says; without it the first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = PAGE_MAX
    after: str = ""

    def seen(self) -> Seen:
        """Where the page before ended; ValueError if no page ends like that."""
        found = _SEEN.fullmatch(self.after)
        if found is not None:
            return int(found[1]), found[2]
        if self.after:
            raise ValueError("after is what the link to the page says; leave it out for the first")
        return BEGINNING


class Listed(Protocol):
    """One of a list."""

    @property
    def seen(self) -> Seen: ...


def page_of(shown: list[T], ask: SomeOf, listed: Sequence[Listed]) -> Page[list[T]]:
    """The page that shows what is listed."""
    if len(listed) < ask.limit:
        return Page(shown, None)
    at_ms, name = listed[-1].seen
    return Page(shown, msgspec.structs.replace(ask, after=f"{at_ms}.{name}"))


def link_of(page: Page[Any]) -> Headers:
    """The header that leads to the next page, if there is one."""
    if page.following is None:
        return ()
    asked = msgspec.to_builtins(page.following)
    query = urlencode({name: value for name, value in asked.items() if value != ""})
    return ((b"link", f'<?{query}>; rel="next"'.encode("ascii")),)
