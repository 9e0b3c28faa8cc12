"""Everything in one PostgreSQL: many gateways on many machines, one truth.

Promises: every write of the books holds one lock, so entries form one chain and nothing
deadlocks; what is acknowledged is committed; nothing waits longer than its limit.
Does not promise: working without the database. A gateway that cannot reach it refuses.
Fails how: `StoreError`; `StoreBusyError` at once while the database is away or too slow.
"""

import logging

# It warns whenever a connection is lost in the middle of something. Who asked is told that anyway.
logging.getLogger("psycopg").setLevel(logging.ERROR)
