"""A small HTTP/1.1 client for paid calls, on httptools' parser. Why our own: docs/decisions/0011.

Promises: a request is written once or not at all; an answer looks whole only when it is; no byte of
one answer is ever read as part of the next; every wait, head and pool has a limit; a call that is
cancelled closes its connection at once.

Does not promise: to repeat, to follow, to decode, to remember. Nothing comes from the environment.

Fails how: `UnsentError` while certainly nothing was written, `BrokenError` from the first byte on.
One call, file by file: `address` and `request_head` say what goes out, `pool` finds or makes
(`dialling`) a `connection`, which feeds a `parser` and wakes whoever waits for the `answer`.
"""
