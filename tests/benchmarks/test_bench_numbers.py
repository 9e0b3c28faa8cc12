"""Numbers that benchmarks carry are requirements, and each such benchmark is run by a test."""

import re

import pytest

from house.documents import carried_by_benchmarks, carried_by_tests
from house.requirements import REQUIREMENTS
from house.source import BENCHMARKS, ROOT


def test_every_number_of_a_benchmark_is_a_requirement_and_has_a_test_beside_it() -> None:
    carried, shown = carried_by_tests(), carried_by_benchmarks()
    assert shown.keys() - REQUIREMENTS.keys() == set()
    assert {"O-6", "P-1", "P-2", "P-3", "P-4"} <= shown.keys()
    for number in shown:
        beside = [file for file in carried[number] if file.startswith("tests/benchmarks/")]
        assert beside, f"no test runs a benchmark that shows {number}"


@pytest.mark.req("P-2")
def test_no_benchmark_reads_the_guards_own_clock() -> None:
    """Its records and metrics tell how long it believes to have taken; they leave out sockets and
    queues (`tokenward_guard_seconds`, `guard_us`)."""
    shown = {path for paths in carried_by_benchmarks().values() for path in paths}
    for path in shown:
        text = (ROOT / path).read_text("utf-8")
        assert re.search(r"guard_us|guard_seconds|total_ms|ttft_ms", text) is None, path


def test_the_readme_has_a_row_for_every_benchmark_that_carries_a_number() -> None:
    readme = (BENCHMARKS / "README.md").read_text("utf-8")
    for path in {path for paths in carried_by_benchmarks().values() for path in paths}:
        assert f"`{path.removeprefix('benchmarks/')}`" in readme
