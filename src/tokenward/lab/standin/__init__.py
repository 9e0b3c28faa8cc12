"""A stand-in provider on loopback: it speaks like the real ones and writes its own bill.

Promises: answers true in shape to the OpenAI, Anthropic and Gemini dialects, streams, tool calls
and structured output included; the same request gives the same text; every call it charges is one
line of its bill before the last byte of the answer leaves; faults and slowness on demand.
Does not promise: intelligence, limits, or that anything is kept after a restart.
Fails how: the error envelope of the dialect called; a wrong `x-standin` header or directive is a
400 that names it. Its counting and its prices share nothing with the rest of tokenward: when its
bill and a ledger agree, two strangers agree.
"""
