"""What a call says, as keyed hashes: what stays the same, what differs, and what it costs."""

import hashlib
import hmac

import pytest
from msgspec.structs import replace

from tokenward.kernel.conversation import Conversation, Turn
from tokenward.kernel.signals import Content
from tokenward.signals.content import (
    ANSWER_BYTES_MIN,
    ANSWERS_MAX,
    END_CHARS,
    SYSTEM_CHARS,
    hash_answer,
    read_content,
)

LONG = "The tide comes in because the moon pulls at the sea."


class Hasher:
    """A keyed hash that remembers how much it was given."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.longest = 0

    def __call__(self, text: bytes) -> str:
        self.longest = max(self.longest, len(text))
        return hmac.digest(self.key, text, hashlib.sha256).hex()[:16]


HASH = Hasher(b"k" * 32)
TALK = Conversation(
    system=("You are a helper.",),
    turns=(Turn("user", "Why do tides exist?"), Turn("assistant", LONG), Turn("user", "Go on")),
    tools=("look", "find"),
)


def read(said: Conversation | None, path: str = "/v1/chat/completions") -> Content:
    return read_content(said, HASH, operation="chat", path=path)


def test_nothing_of_the_words_is_kept() -> None:
    told = read(TALK)
    hashes = (told.system, told.tools, told.root, told.prefix, *told.answers)
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in hashes)
    assert len(set(hashes)) == len(hashes) == 5


def test_another_key_makes_other_hashes() -> None:
    other = read_content(TALK, Hasher(b"other"), operation="chat")
    told = read(TALK)
    for name in ("system", "tools", "root", "prefix", "answers"):
        assert getattr(other, name) != getattr(told, name)


def test_a_call_without_text_has_no_hashes() -> None:
    assert read(None) == read(Conversation()) == Content()
    assert read(None, "/v1/organizations") == Content(probe="dead_route", is_sure=True)


def test_a_conversation_keeps_its_root_while_it_grows() -> None:
    begun = replace(TALK, turns=TALK.turns[:1])
    later = (Turn("assistant", LONG), Turn("user", "More"))
    grown = replace(TALK, turns=TALK.turns + later * 30)
    assert read(begun).root == read(TALK).root == read(grown).root
    other = replace(TALK, turns=(Turn("user", "Why do winds exist?"),))
    assert read(other).root != read(TALK).root
    assert read(replace(TALK, system=("You are a pirate.",))).root != read(TALK).root


def test_the_root_of_an_agent_is_the_users_words_not_its_surroundings() -> None:
    around = Turn("user", "<environment_context>/home</environment_context>")
    one, two = (
        replace(TALK, turns=(around, Turn("user", text), Turn("assistant", LONG)))
        for text in ("fix my tests", "write a poem")
    )
    assert read(one).root != read(two).root


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It is 2026-11-22 09:15. Be kind.", "It is 2027-01-03 18:40. Be kind."),
        ("Today is Sunday, November 22, 2026.", "Today is Wednesday, May 6, 2026."),
        ("Sun Nov 22 2026\nBe kind.", "Mon Feb 2 2026\nBe kind."),
        ("You serve customer 4711.", "You serve customer 23."),
    ],
)
def test_a_system_prompt_is_the_same_on_another_day(one: str, other: str) -> None:
    first, second = (read(replace(TALK, system=(text,))) for text in (one, other))
    assert (first.system, first.prefix, first.root) == (second.system, second.prefix, second.root)


def test_months_without_a_year_are_words() -> None:
    prompts = ("You may call me April.", "You may call me May.")
    one, other = (read(replace(TALK, system=(prompt,))) for prompt in prompts)
    assert one.system != other.system


def test_what_an_agent_appends_behind_a_long_prompt_does_not_count() -> None:
    prompt = "You are an agent. " * (SYSTEM_CHARS // 18 + 1)
    one, other = (read(replace(TALK, system=(prompt, f"Folder: {name}"))) for name in "ab")
    assert one.system == other.system
    assert read(replace(TALK, system=("Other. " + prompt,))).system != one.system


def test_a_checksum_that_is_sent_as_a_system_prompt_is_none() -> None:
    billing = "x-anthropic-billing-header: cc_version=2.1.197.{}; cch={};"
    one, other = (
        read(replace(TALK, system=(billing.format(mark, mark), "You are a helper.")))
        for mark in ("e58", "a01")
    )
    assert one.system == other.system == read(TALK).system


def test_the_prefix_is_the_prompts_beginning() -> None:
    head = "You are the helper of a company that sells shoes. " * 6
    one, other = (read(replace(TALK, system=(head + name,))) for name in ("Anna", "Bert"))
    assert one.prefix == other.prefix
    assert one.system != other.system


def test_tools_are_the_same_in_any_order() -> None:
    assert read(TALK).tools == read(replace(TALK, tools=("find", "look"))).tools
    assert read(TALK).tools != read(replace(TALK, tools=("find",))).tools
    assert read(replace(TALK, tools=())).tools == ""


def test_an_answer_that_was_heard_is_known_when_it_comes_back() -> None:
    heard = "Here is the code:\n\n    x = 1\n    y = 2\n\nIt sets both. "
    back = "Here is the code:\r\n    x = 1\r\n    y = 2\r\nIt sets both."
    said = replace(TALK, turns=(Turn("user", "Code?"), Turn("assistant", back)))
    assert read(said).answers == (hash_answer(heard, HASH),)
    assert hash_answer(heard + "x", HASH) != hash_answer(heard, HASH)


def test_a_long_answer_is_known_by_its_beginning() -> None:
    answer = LONG * 2_000
    assert hash_answer(answer, HASH) == hash_answer(answer[:2048], HASH)
    assert hash_answer("No. " + answer, HASH) != hash_answer(answer, HASH)


def test_short_answers_tell_nothing() -> None:
    assert hash_answer("Done!   " + " " * 100, HASH) == ""
    assert hash_answer("x" * (ANSWER_BYTES_MIN - 1), HASH) == ""
    assert hash_answer("x" * ANSWER_BYTES_MIN, HASH) != ""
    assert read(replace(TALK, turns=(Turn("user", "?"), Turn("assistant", "Yes.")))).answers == ()


def test_the_newest_answers_come_first_and_only_so_many() -> None:
    texts = [f"{count} {LONG}" for count in range(20)]
    turns = [turn for text in texts for turn in (Turn("user", "?"), Turn("assistant", text))]
    told = read(replace(TALK, turns=tuple(turns)))
    assert told.answers == tuple(hash_answer(text, HASH) for text in reversed(texts[-ANSWERS_MAX:]))


def test_what_users_and_tools_say_is_no_answer() -> None:
    assert read(replace(TALK, turns=(Turn("user", LONG), Turn("tool", LONG)))).answers == ()


def test_what_is_hashed_is_bounded() -> None:
    hasher = Hasher(b"k")
    huge = "é" * 4_000_000
    said = Conversation(
        system=(huge,) * 16,
        turns=(Turn("user", huge), Turn("user", huge), *[Turn("assistant", huge)] * 60),
        tools=("x" * 256,) * 128,
    )
    told = read_content(said, hasher, operation="chat")
    assert hasher.longest <= 2 * (2 * END_CHARS * 2 + 20) + 64
    longer = replace(said, turns=(Turn("user", huge + "é"), *said.turns[1:]))
    assert read_content(longer, hasher, operation="chat").root != told.root


def test_half_a_surrogate_pair_is_hashed_like_any_text() -> None:
    torn = "\ud83d" * 40
    said = Conversation(
        system=(torn,), turns=(Turn("user", torn), Turn("assistant", torn)), tools=(torn,)
    )
    told = read(said)
    assert all((told.system, told.root, told.prefix, told.tools, told.answers))


def test_script_probe_and_harness_are_told() -> None:
    said = Conversation(turns=(Turn("user", "Just say TEST"),))
    assert (read(said).probe, read(said).is_sure) == ("say_test", True)
    agent = Conversation(
        system=("You are opencode, an agent.",),
        turns=(Turn("user", "Напиши, пожалуйста, стихотворение о море."),),
    )
    assert (read(agent).harness, read(agent).script) == ("opencode", "cyrillic")
