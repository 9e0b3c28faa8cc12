"""Every key there is, a page at a time."""

from collections.abc import AsyncIterator

from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.keys.interfaces import KeyStore
from tokenward.keys.records import KeyRecord


async def every_key(keys: KeyStore) -> AsyncIterator[KeyRecord]:
    """Oldest first. A key that was there when this began comes once, whatever is created and
    changed meanwhile; one that is created meanwhile comes once or not at all."""
    after: Seen = BEGINNING
    while True:
        page = await keys.page(after, PAGE_MAX)
        for record in page:
            yield record
        if len(page) < PAGE_MAX:
            return
        after = page[-1].seen
