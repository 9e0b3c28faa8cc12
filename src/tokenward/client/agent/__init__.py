"""Agent: a local signer, for programs that only take a base URL and a key.

Promises: it listens on this machine alone, and only who knows the local token gets anything
signed; every attempt gets a proof of its own; what the guard answers comes back as it is, piece by
piece; a caller that hangs up hangs up on the guard; nothing is repeated but what the guard refused
before it sent anything.
Does not promise: safety from programs of the same user, which may read its files; an answer while
the guard cannot be reached.
Fails how: to its callers with an error in the dialect they called (`agent:…`); at its start with a
`ClientError`. A stream that breaks off is broken off, never ended well.
"""

from tokenward.client.agent.server import AgentServer
from tokenward.client.agent.signed_link import SignedLink

__all__ = ["AgentServer", "SignedLink"]
