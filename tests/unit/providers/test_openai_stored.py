"""Calls about what the provider keeps: free, so they may carry nothing that a model runs on."""

import pytest
from msgspec.structs import replace

from openai_calls import JSON, asked, played, refused, request
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask, Meter
from tokenward.providers.openai import OPENAI
from tokenward.providers.openai.stored import ROUTES

BODILESS = [route.operation for route in ROUTES if route.operation != "update_chat"]


@pytest.mark.req("M-9")
def test_they_are_free_and_marked_as_stored() -> None:
    assert all(route.stored and route.meter is Meter.FREE for route in ROUTES)
    assert {route.operation for route in OPENAI.routes if route.stored} == {
        route.operation for route in ROUTES
    }
    ask = asked("get_response", b"")
    assert ask == Ask(route=ask.route, model="", has_output=False, stored=True)
    usage = b'{"status":"completed","usage":{"input_tokens":9,"output_tokens":9}}'
    assert played(ask, usage, JSON)[1].usage == Usage()


@pytest.mark.parametrize("operation", BODILESS)
def test_most_take_no_body(operation: str) -> None:
    assert "no body" in refused(operation, {"model": "gpt-5", "input": "Hello"}).message


@pytest.mark.parametrize("metadata", [{"a": "b"}, {}, None])
def test_an_update_takes_metadata(metadata: object) -> None:
    assert asked("update_chat", {"metadata": metadata}).stored


@pytest.mark.parametrize(
    "body",
    [
        b"",
        {},
        {"metadata": {}, "model": "gpt-5"},
        {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]},
        {"metadata": "x"},
        {"metadata": []},
    ],
)
def test_an_update_takes_nothing_else(body: object) -> None:
    refused("update_chat", body)


@pytest.mark.parametrize("name", ["ft:gpt-4o-mini:acemeco:suffix:abc123", "gpt-4o", "m@1_2"])
def test_a_model_to_delete_is_named_by_its_path(name: str) -> None:
    ask = OPENAI.inspect(replace(request("delete_model", b""), model_in_path=name))
    assert isinstance(ask, Ask)
    assert (ask.model, ask.stored) == (name, True)


@pytest.mark.parametrize("name", ["a/b", "", ".a", "a b", "a?b", "é", "a" * 257])
def test_no_other_path_is_hidden_in_the_name_of_a_model_to_delete(name: str) -> None:
    made = replace(request("delete_model", b""), model_in_path=name)
    assert isinstance(OPENAI.inspect(made), Refusal)
