"""Paths that only those ask for who try keys: known, and closed like any other unknown one."""

import pytest

from tokenward.http.routing import Routes, unknown_route
from tokenward.kernel.refusals import Refusal
from tokenward.providers.ask import Request
from tokenward.providers.openai import OPENAI
from tokenward.providers.openai.trials import OPERATION, ROUTES
from tokenward.signals.probes import DEAD_PATHS


def test_the_closed_doors_are_those_that_count_as_probes() -> None:
    assert {route.path for route in ROUTES} == DEAD_PATHS
    assert {route for route in OPENAI.routes if route.operation == OPERATION} == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_a_trial_is_answered_word_for_word_like_an_unknown_route(route: object) -> None:
    (declared,) = [known for known in ROUTES if known == route]
    matched = Routes([OPENAI]).match("GET", declared.path.encode(), {})
    assert not isinstance(matched, Refusal)
    assert matched.route == declared
    for headers in ({}, {b"content-encoding": b"br"}):
        request = Request(
            route=declared, model_in_path="", query=b"", headers=headers, body=b"\xff" * 9
        )
        assert OPENAI.inspect(request) == unknown_route(declared.path)
