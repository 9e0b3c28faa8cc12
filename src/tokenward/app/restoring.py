"""Records from the past, accepted on purpose: after a backup was put back."""

from collections.abc import Mapping

import msgspec

from tokenward.app.stores import open_store
from tokenward.kernel.errors import StoreError, StorePastError
from tokenward.kernel.events import Event
from tokenward.keys import life
from tokenward.keys.listing import every_key
from tokenward.keys.records import KeyRecord
from tokenward.ledger.statement import Head
from tokenward.machine import RealClock
from tokenward.settings import Settings
from tokenward.store.high_water import HighWater, check_not_past
from tokenward.store.interfaces import Store

WHY = "the records were restored from a backup; look whether this key was stopped since then"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted. `seen_entry` is the newest that the data folder had seen (None: its mark
    could not be read), `last_entry` the newest there is now."""

    seen_entry: int | None
    last_entry: int
    keys_frozen: list[str]


async def restore(
    settings: Settings, environ: Mapping[str, str], *, keep_live: bool
) -> Restored | None:
    """Accept the records as they are; None if nothing is wrong with them.

    Every live key is frozen first, unless `keep_live`: nobody knows which of them were revoked in
    the time that is lost. Raises StoreError, SettingsError.
    """
    mark = HighWater(settings.data_dir)
    store = await open_store(settings, environ, serves=False, is_alone=True)
    try:
        try:
            seen = mark.read()
            await check_not_past(store.books, seen)
        except StorePastError:
            return await _accept(store, mark, mark.read(), keep_live)
        except StoreError:  # the mark says nothing
            return await _accept(store, mark, None, keep_live)
        return None
    finally:
        await store.close()


async def _accept(store: Store, mark: HighWater, seen: Head | None, keep_live: bool) -> Restored:
    keys = [] if keep_live else [key async for key in every_key(store.keys)]
    live = [key for key in keys if key.state == "live"]
    for key in live:
        await _freeze(store, key)
    head = await store.books.head()
    store.tell(
        Event(
            ts=RealClock().now_ms(),
            kind="records:restored",
            subject="records",
            facts={
                "seen_entry": None if seen is None else seen.seq,
                "last_entry": head.seq,
                "keys_frozen": len(live),
            },
        )
    )
    mark.reset(head)
    return Restored(
        seen_entry=None if seen is None else seen.seq,
        last_entry=head.seq,
        keys_frozen=[key.id for key in live],
    )


async def _freeze(store: Store, key: KeyRecord) -> None:
    frozen = life.freeze(key, WHY)
    assert isinstance(frozen, KeyRecord), "a live key can be frozen"
    if not await store.keys.replace(key, frozen, "key:frozen", WHY):
        raise StoreError(f"key {key.id} was changed by somebody else; run tokenward restore again")
