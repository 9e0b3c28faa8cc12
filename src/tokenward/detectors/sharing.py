"""Do several people, or programs, stand behind one key?

Class E3. Cold start: many programs and many conversations at once are told of a key without a
history too; many system prompts are unknown during the first three days, for a program may well
write a new one for every call. Foreign turns are `turns.py`'s.
"""

from typing import Final

from tokenward.detectors.novelty import is_cold, is_usual, is_usual_value
from tokenward.detectors.odds import Odds, of_kind, weighed
from tokenward.detectors.past import DAY_MS, Past, short
from tokenward.detectors.rows import Rows, is_within, number
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Content, Signals

NAME: Final = "sharing"
HOUR_MS: Final = 3_600_000
TEN_MINUTES_MS: Final = 600_000
PROGRAMS_MAX: Final = 12
PROMPTS_MAX: Final = 24
TALKS_MAX: Final = 24
PROGRAMS: Final = {"": 4, "developer": 4, "app": 3, "public": 3}
PROMPTS: Final = {"": 10, "developer": 8, "app": 10, "public": 6}
"""One person has up to five system prompts a day, an application up to ten: judgement."""
PROGRAMS_LEAST: Final = min(PROGRAMS.values())
PROMPTS_LEAST: Final = min(PROMPTS.values())
TALKS: Final = 8
TALKS_PROMPTS: Final = 6
"""A coding agent and its own helpers have up to six system prompts."""
USED_DAYS: Final = 3
USED_SHARE: Final = 0.3
"""Whoever had a new system prompt on so many days is used to it."""

# A developer compares libraries a few days a year, and sets them up on a new machine; a server
# runs one or two programs. Relays pass on many programs, or make one of them.
MANY_PROGRAMS: Final = {
    "": Odds(ordinary=0.01, moved=0.03, thief=0.15),
    "developer": Odds(ordinary=0.02, moved=0.05, thief=0.15),
    "app": Odds(ordinary=0.003, moved=0.01, thief=0.15),
    "public": Odds(ordinary=0.003, moved=0.01, thief=0.15),
}
# Prompts are compared by developers, and an application gets a release with texts in the prompt.
# Resold keys carry every buyer's prompts; a lone thief has his one or two.
MANY_PROMPTS: Final = {
    "": Odds(ordinary=0.03, moved=0.03, thief=0.4),
    "developer": Odds(ordinary=0.05, moved=0.05, thief=0.4),
    "app": Odds(ordinary=0.01, moved=0.02, thief=0.4),
    "public": Odds(ordinary=0.005, moved=0.01, thief=0.4),
}
# Several coding agents at once, in several projects: a few developers' days.
MANY_TALKS: Final = Odds(ordinary=0.01, moved=0.02, thief=0.35)


class Sharing:
    """Programs of the last hour, prompts and conversations of the last ten minutes: at most
    1.5 kB. Only a call that is itself unusual is held to share."""

    __slots__ = ("_last", "_prompts", "_returned", "_talks", "programs")

    def __init__(self) -> None:
        self.programs = Rows(PROGRAMS_MAX, 2)  # fingerprint, ms
        self._prompts = Rows(PROMPTS_MAX, 2)  # system prompt, ms
        self._talks = Rows(TALKS_MAX, 4)  # root, system prompt, ms, was returned to
        self._last, self._returned = 0, 0

    def note(self, call: Signals, now: int) -> None:
        """A call is over."""
        content, program = call.content, call.client.fingerprint
        if program:
            self.programs.put(number(short(program)), now)
        if content.system:
            self._prompts.put(number(content.system), now)
        if content.root:
            self._note_talk(content, now)

    def _note_talk(self, content: Content, now: int) -> None:
        root, at = number(content.root), self._talks.find(number(content.root))
        was_returned_to = at >= 0 and (bool(self._talks.row(at)[3]) or root != self._last)
        self._talks.put(root, number(content.system), now, was_returned_to)
        self._last = root
        self._returned = sum(self._talks.columns[3])

    def signs(self, call: Signals, past: Past, key_kind: str, now: int) -> tuple[Sign, ...]:
        """Many programs, and one of many conversations and many prompts: these are the same calls
        twice."""
        found: tuple[Sign, ...] = ()
        if self.programs.count < PROGRAMS_LEAST and self._prompts.count < PROMPTS_LEAST:
            return found
        if self.programs.count >= of_count(PROGRAMS, key_kind):
            found = self._many_programs(call, past, key_kind, now)
        if self._returned > TALKS and key_kind == "developer":
            talks = self._many_talks(call, now)
            if talks:
                return found + talks
        if self._prompts.count >= of_count(PROMPTS, key_kind):
            return found + self._many_prompts(call, past, key_kind, now)
        return found

    def _many_programs(
        self, call: Signals, past: Past, key_kind: str, now: int
    ) -> tuple[Sign, ...]:
        program = short(call.client.fingerprint)
        if not program or _is_usual("client", program, past, now):
            return ()
        count = _with(self.programs, number(program), now, HOUR_MS)
        usual = _usual_count("client", past, now)
        if count <= max(of_count(PROGRAMS, key_kind), usual):
            return ()
        reason = f"{count} different programs used this key within the hour"
        odds = of_kind(MANY_PROGRAMS, key_kind)
        return (weighed("E3", NAME, "sharing:programs", reason, odds),)

    def _many_prompts(self, call: Signals, past: Past, key_kind: str, now: int) -> tuple[Sign, ...]:
        system = short(call.content.system)
        if not system or _is_used_to_news(past, now) or _is_usual("system", system, past, now):
            return ()
        count = _with(self._prompts, number(call.content.system), now, TEN_MINUTES_MS)
        usual = _usual_count("system", past, now)
        if count <= max(of_count(PROMPTS, key_kind), usual):
            return ()
        reason = f"{count} different system prompts within ten minutes, and this key is used to few"
        odds = of_kind(MANY_PROMPTS, key_kind)
        return (weighed("E3", NAME, "sharing:prompts", reason, odds),)

    def _many_talks(self, call: Signals, now: int) -> tuple[Sign, ...]:
        if not call.content.root:
            return ()
        systems = [
            system
            for _, system, then, was_returned_to in self._talks
            if was_returned_to and is_within(then, now, TEN_MINUTES_MS)
        ]
        prompts = len(set(systems))
        if len(systems) <= TALKS or prompts <= TALKS_PROMPTS:
            return ()
        reason = (
            f"{len(systems)} conversations at once under {prompts} different system prompts "
            "within ten minutes, on one developer's key"
        )
        return (weighed("E3", NAME, "sharing:conversations", reason, MANY_TALKS),)


def of_count(table: dict[str, int], key_kind: str) -> int:
    """The count of a key kind; that of "" for one that the table does not name."""
    return table.get(key_kind, table[""])


def _with(rows: Rows, key: int, now: int, window_ms: int) -> int:
    """How many values the window has, with this one."""
    return 1 + sum(other != key and is_within(then, now, window_ms) for other, then in rows)


def _is_usual(habit: str, value: str, past: Past, now: int) -> bool:
    return is_usual_value(habit, value, past, now // DAY_MS)


def _usual_count(habit: str, past: Past, now: int) -> int:
    """How many values of the habit are usual for the key."""
    values = past.values.get(habit, {})
    return sum(is_usual(seen, past, now // DAY_MS) for seen in values.values())


def _is_used_to_news(past: Past, now: int) -> bool:
    """New system prompts are this key's habit, or it is too young to tell."""
    days, news = past.earlier_days(now // DAY_MS), past.news.get("system")
    if is_cold(past) or days < USED_DAYS:
        return True
    shown = news.days - (news.last == now // DAY_MS) if news is not None else 0
    return shown >= USED_SHARE * days
