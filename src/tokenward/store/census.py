"""All keys, counted by the database itself: the same questions for every engine."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tokenward.keys.records import Census, Some

SOME_MAX: Final = 5


class Questions(NamedTuple):
    """`counts` is answered with one row, each of the others with a few ids, oldest first. All
    take `now`, `ends` and `unused`: moments in Unix ms."""

    counts: str
    ending: str
    waiting: str
    unused: str


def questions(place: str, bind: str) -> Questions:
    """As an engine writes them: `place` stands for a value, its name in the braces; `bind` is how
    a key is bound, null where it is bound to nobody."""
    live = f"state = 'live' AND (expires_ms IS NULL OR expires_ms > {place.format('now')})"
    bearer = f"coalesce({bind}, 'none') = 'none'"
    groups = (
        f"{live} AND expires_ms < {place.format('ends')}",
        f"{live} AND NOT {bearer} AND holder = ''",
        f"{live} AND coalesce(last_used_ms, created_ms) < {place.format('unused')}",
    )
    filters = (live, f"{live} AND {bearer}", *groups)
    counts = ", ".join(f"count(*) FILTER (WHERE {which})" for which in filters)
    return Questions(
        f"SELECT count(*), coalesce(max(created_ms), 0), {counts} FROM keys",
        *(
            f"SELECT id FROM keys WHERE {which} ORDER BY created_ms, id LIMIT {SOME_MAX}"
            for which in groups
        ),
    )


def read_census(answers: Sequence[Sequence[tuple[Any, ...]]]) -> Census:
    """What the rows that answer each of `Questions` say."""
    (counts,), *some = answers
    ending, waiting, unused = (
        Some(count=count, ids=tuple(row[0] for row in rows))
        for count, rows in zip(counts[4:], some, strict=True)
    )
    return Census(
        count=counts[0],
        latest_ms=counts[1],
        live=counts[2],
        bearers=counts[3],
        ending=ending,
        waiting=waiting,
        unused=unused,
    )
