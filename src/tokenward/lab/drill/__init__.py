"""The drill: stories of theft played with real HTTP against a guard that runs as a process.

Promises: what it reports happened just now between processes on 127.0.0.1: real client programs
where they are installed, recorded heads of them on a plain socket where they are not; the dollars
are the stand-in provider's own count; each story has its own keys, and ends by itself.
Does not promise: real time. Thieves do not pause here, the days of use before the theft are
written into the keys' pasts (`ageing.py`), and of a long story only the first calls are played.
Fails how: `DrillError` in plain words.
"""
