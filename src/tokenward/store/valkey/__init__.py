"""Hot shared state of many gateways on Valkey or Redis, one server or a cluster.

Promises: a proof is used once, whatever the servers forget: a memory that was lost, restored or
taken over by another server begins a new epoch (`epochs.py`); an answer is waited for no longer
than the limit, and a server that is too slow is not asked again before it answers a probe.
Does not promise: limits that survive the loss of a server. What lives here can all be lost;
docs/explanation/hot-state.md says what happens then.
Fails how: `StoreError`. What was sent and not heard is never sent a second time.
"""

from tokenward.store.valkey.checks import Finding, check_servers
from tokenward.store.valkey.hot import HotState

__all__ = ["Finding", "HotState", "check_servers"]
