"""Does something grow, or does it only go up and down? A straight line through its second half."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Slack:
    """What is still flat: growth over the second half of at most so much, or of that share of what
    there is in the median, whichever is more. A process more may grow by so much more."""

    amount: float
    share: float = 0.0
    of_each_process: bool = False


SLACKS: Final = {
    "rss_mb": Slack(6.0, share=0.05, of_each_process=True),
    "open_files": Slack(8.0, share=0.1, of_each_process=True),
    "threads": Slack(1.0),
    "open_holds": Slack(5.0),
    "running_calls": Slack(5.0),
    "wal_mb": Slack(8.0),
}
SAMPLES_MIN: Final = 4


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line that fits best (least squares); 0 where there is no line."""
    mean_at, mean = sum(at) / len(at), sum(values) / len(values)
    spread = sum((a - mean_at) ** 2 for a in at)
    if not spread:
        return 0.0
    return sum((a - mean_at) * (v - mean) for a, v in zip(at, values, strict=True)) / spread


def judge(
    samples: Sequence[Mapping[str, float]],
    slacks: Mapping[str, Slack] = SLACKS,
    processes: int = 1,
) -> dict[str, dict[str, Any]]:
    """For each thing its growth over the second half of the samples, by its fitted line, and
    whether that is flat. `at_s` says when a sample was taken. Shrinking is flat. What nobody
    sampled is left out. AssertionError where there are too few samples to say anything."""
    half = samples[len(samples) // 2 :]
    assert len(half) >= SAMPLES_MIN, f"{len(half)} samples in the second half say nothing"
    at_s = [sample["at_s"] for sample in half]
    found = {}
    for name, slack in slacks.items():
        values = [sample[name] for sample in half if name in sample]
        if len(values) != len(half):
            continue
        a_second, median = slope(at_s, values), sorted(values)[len(values) // 2]
        grew = a_second * (at_s[-1] - at_s[0])
        amount = slack.amount * (processes if slack.of_each_process else 1)
        limit = max(amount, slack.share * median)
        found[name] = {
            "at_half": values[0],
            "median": median,
            "last": values[-1],
            "most": max(values),
            "growth_an_hour": round(a_second * 3600, 2),
            "grew": round(grew, 2),
            "may_grow": round(limit, 2),
            "is_flat": grew <= limit,
        }
    return found
