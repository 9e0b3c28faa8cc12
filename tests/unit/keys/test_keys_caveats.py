"""Caveats: what people may write, and what a key with them may do."""

import pytest

from tokenward.keys.caveats import (
    allows_any_model,
    allows_model,
    allows_route,
    parse_duration_ms,
    read_caveats,
)
from tokenward.keys.records import Caveats


def test_caveats_are_read_from_what_people_type() -> None:
    caveats = read_caveats(
        models=["gpt-4o*", "o[13]*"],
        routes=["/v1/chat/*"],
        cidrs=["10.1.2.3/8", " 192.0.2.7 ", "2001:DB8::1/32"],
        max_call="0.50",
        rpm=60,
        tpm=100_000,
        concurrency=4,
    )
    assert caveats == Caveats(
        models=("gpt-4o*", "o[13]*"),
        routes=("/v1/chat/*",),
        cidrs=("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"),
        max_call_nusd=500_000_000,
        rpm=60,
        tpm=100_000,
        concurrency=4,
    )


def test_nothing_asked_is_nothing_restricted() -> None:
    assert read_caveats() == Caveats()


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"models": [""]}, "model"),
        ({"models": ["gpt 4"]}, "model"),
        ({"models": ["gpt\x00*"]}, "model"),
        ({"models": ["gpt\n"]}, "model"),
        ({"models": ["gpt-４"]}, "model"),
        ({"models": ["x" * 129]}, "model"),
        ({"models": ["m"] * 65}, "at most 64"),
        ({"models": "gpt-*"}, "list"),
        ({"routes": ["/v1 /"]}, "route"),
        ({"cidrs": ["10.0.0.0/33"]}, "10.0.0.0/33"),
        ({"cidrs": ["example.com"]}, "example.com"),
        ({"cidrs": [""]}, "networks like"),
        ({"cidrs": ["10.0.0.0/8"] * 65}, "at most 64"),
        ({"max_call": "0"}, "max-call"),
        ({"max_call": "-1"}, "amount"),
        ({"max_call": "NaN"}, "amount"),
        ({"rpm": 0}, "rpm"),
        ({"tpm": -5}, "tpm"),
        ({"concurrency": 10**12}, "concurrency"),
        ({"bind": "rope"}, "unknown; use none, dpop"),
        ({"bind": "NONE"}, "none"),
    ],
)
def test_what_cannot_be_a_caveat_is_an_error_that_says_why(
    asked: dict[str, object], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        read_caveats(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("45s", 45_000),
        ("90m", 5_400_000),
        ("12h", 43_200_000),
        ("30d", 2_592_000_000),
        ("2w", 1_209_600_000),
        ("0s", 0),
    ],
)
def test_durations_are_a_number_and_a_unit(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize(
    "text",
    ["", "30", "d", "-1d", "+1d", "1.5h", "1 d", "1D", "1d ", "1d\n", "1y", "٣d", "9" * 13 + "s"],
)
def test_what_is_not_a_duration_is_an_error_that_shows_how(text: str) -> None:
    with pytest.raises(ValueError, match="30d"):
        parse_duration_ms(text)


def test_a_duration_of_more_than_a_hundred_years_is_an_error() -> None:
    with pytest.raises(ValueError, match="hundred years"):
        parse_duration_ms("999999999999w")


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "o1", "o3-pro"])
def test_a_model_that_a_glob_names_is_allowed(model: str) -> None:
    assert allows_model(Caveats(models=("gpt-4o*", "o[13]*")), model) is None


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4",
        "GPT-4o",
        "gpt-4O",
        "o2",
        "xgpt-4o",
        "",
        "gpt-4o\x00",
        "gpt-4o\n",
        "gpt-4o evil",
        "gpt-4o\u200b",
        "gpt-4о",
        "gpt-4o" + "x" * 600,
    ],
)
def test_any_other_model_is_refused_once_and_for_all(model: str) -> None:
    refusal = allows_model(Caveats(models=("gpt-4o*", "o[13]*")), model)
    assert refusal is not None
    assert (refusal.code, refusal.status, refusal.should_retry) == ("model:not_allowed", 403, False)
    assert "gpt-4o*, o[13]*" in refusal.message
    assert refusal.message.isprintable()
    assert len(refusal.message) < 1_000


def test_a_key_without_model_caveats_may_use_every_model() -> None:
    assert allows_model(Caveats(), "anything\x00at all") is None


def test_a_glob_that_negates_still_lets_no_hidden_character_through() -> None:
    caveats = Caveats(models=("[!x]*",))
    assert allows_model(caveats, "gpt") is None
    assert allows_model(caveats, "\x00gpt") is not None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/x/y"])
def test_a_route_that_a_glob_names_is_allowed(path: str) -> None:
    assert allows_route(Caveats(routes=("/v1/chat/*", "/v1/models")), path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/embeddings",
        "/V1/chat/completions",
        "/v1/chat/",
        "/v1/chat/../embeddings",
        "/v1/chat/./x",
        "/v1/chat//x",
        "//v1/chat/x",
        "/v1/chat/x\x00",
        "/v1/models/gpt",
        "v1/chat/x",
        "",
    ],
)
def test_any_other_route_is_refused(path: str) -> None:
    refusal = allows_route(Caveats(routes=("/v1/chat/*", "/v1/models")), path)
    assert refusal is not None
    assert (refusal.code, refusal.status, refusal.should_retry) == ("route:not_allowed", 403, False)
    assert "/v1/chat/*" in refusal.message


def test_a_key_without_route_caveats_may_use_every_route() -> None:
    assert allows_route(Caveats(), "/anything//at/../all") is None


def test_a_key_for_some_models_may_not_reach_what_tells_no_model() -> None:
    assert allows_any_model(Caveats()) is None
    for globs in (("gpt-5*",), ("*",)):
        refusal = allows_any_model(Caveats(models=globs))
        assert refusal is not None
        assert (refusal.code, refusal.status) == ("model:not_allowed", 403)
        assert globs[0] in refusal.message
