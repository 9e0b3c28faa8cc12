"""Everything in one SQLite file: the default, for one guard on one machine.

Promises: one process writes (a lock sees to it); one connection writes, many waiting operations to
a commit, each commit on the disk (`synchronous=FULL`) before it is acknowledged.
Does not promise: more than one guard on one data folder.
Fails how: `StoreError`; after a failed commit memory is forgotten and read anew from the file.
"""

from tokenward.store.sqlite.statements import audit_folder
from tokenward.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "audit_folder"]
