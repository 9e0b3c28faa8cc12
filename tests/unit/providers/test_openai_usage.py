"""Golden usage arithmetic of the OpenAI dialect (requirement M-1)."""

import json
from decimal import Decimal

import pytest

from openai_calls import DATA
from tokenward.kernel.usage import COUNTS, Usage
from tokenward.providers.openai.usage import (
    billed_tier,
    duration_usage,
    token_usage,
    transcript_usage,
)

CASES = json.loads((DATA / "usage_cases.json").read_text())


@pytest.mark.req("M-1")
@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_report_becomes_these_buckets(case: dict[str, object]) -> None:
    usage = token_usage(case["report"])
    buckets = {name: getattr(usage, name) for name in COUNTS if getattr(usage, name)}
    assert buckets == case["is"]
    assert len(usage.doubts) == case.get("doubts", 0)


@pytest.mark.req("M-1")
@pytest.mark.parametrize(
    ("case", "per_mtok", "dollars"),
    [
        ("G3", ("2.5", "0.25", "15"), "0.011684"),
        ("G4", ("0.05", "0", "0.40"), "0.00019365"),
        ("G15", ("1.4", "0.26", "0"), "0.01474688"),
    ],
)
def test_the_buckets_cost_what_the_report_should_have_cost(
    case: str, per_mtok: tuple[str, str, str], dollars: str
) -> None:
    usage = token_usage(next(entry["report"] for entry in CASES if entry["case"] == case))
    counts = (usage.input, usage.cache_read, usage.output)
    cost = sum(Decimal(rate) * count for rate, count in zip(per_mtok, counts, strict=True))
    assert (cost / 1_000_000).quantize(Decimal(dollars)) == Decimal(dollars)


@pytest.mark.parametrize(
    "report",
    [
        None,
        [],
        {},
        {"prompt_tokens": 1},
        {"prompt_tokens": None, "completion_tokens": 1},
        {"prompt_tokens": 1.0, "completion_tokens": 1},
        {"prompt_tokens": "1", "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 2**63},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": "2"},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": 3},
        {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": -1},
        },
        {"prompt_tokens": 1, "completion_tokens": 1, "reasoning_tokens": 0.5},
    ],
)
def test_a_report_that_is_not_counts_is_unreadable(report: object) -> None:
    with pytest.raises(ValueError, match="usage"):
        token_usage(report)


def test_details_may_be_null() -> None:
    report = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": None,
        "completion_tokens_details": {"reasoning_tokens": None},
    }
    assert token_usage(report) == Usage(input=3, output=2)


def test_a_total_below_its_parts_takes_the_larger_reading() -> None:
    report = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 5}
    usage = token_usage(report)
    assert (usage.input, usage.output, len(usage.doubts)) == (30, 20, 1)


def test_kinds_that_exceed_the_whole_are_never_negative() -> None:
    report = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"audio_tokens": 40},
        "completion_tokens_details": {"audio_tokens": 9},
    }
    usage = token_usage(report)
    assert (usage.input, usage.input_audio, usage.output, usage.output_audio) == (0, 40, 0, 9)
    assert len(usage.doubts) == 2


def test_pictures_made_are_output_images_and_text_beside_them_is_not() -> None:
    report = {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210}
    assert token_usage(report, "output_image") == Usage(input=50, output_image=4160)
    split = report | {"output_tokens_details": {"image_tokens": 4000, "text_tokens": 160}}
    assert token_usage(split, "output_image") == Usage(input=50, output=160, output_image=4000)


@pytest.mark.parametrize(("seconds", "audio_ms"), [(0, 0), (8.47, 9000), (60, 60_000)])
def test_a_recording_is_billed_by_seconds_begun(seconds: float, audio_ms: int) -> None:
    assert duration_usage(seconds) == Usage(audio_ms=audio_ms)
    assert transcript_usage({"type": "duration", "seconds": seconds}).audio_ms == audio_ms


@pytest.mark.parametrize("seconds", ["8", None, True, -1, 1e300, float("inf"), float("nan")])
def test_an_impossible_length_is_unreadable(seconds: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_usage(seconds)


@pytest.mark.req("M-10")
@pytest.mark.parametrize(
    ("tier", "billed"),
    [
        (None, ""),
        ("default", ""),
        ("auto", ""),
        (7, ""),
        ("priority", "priority"),
        ("flex", "flex"),
    ],
)
def test_the_tier_is_the_one_of_the_answer(tier: object, billed: str) -> None:
    assert billed_tier(tier) == billed
