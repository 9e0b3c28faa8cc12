"""Several processes on one machine with the embedded store.

Promises: the keeper has the records; a worker asks it over a link, in order, and acts on what it
knows of keys only while that is fresh. What a worker that died held is charged in full, what it
never heard of costs nothing. Does not promise: anything across machines. Fails: with `StoreError`
when the keeper does not answer; the guard then refuses.
"""

from tokenward.store.workers.keeper import Keeper
from tokenward.store.workers.link import Link, UnixLink
from tokenward.store.workers.remote import RemoteStore

__all__ = ["Keeper", "Link", "RemoteStore", "UnixLink"]
