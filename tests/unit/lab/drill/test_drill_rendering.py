"""A call of the lab becomes a request that shows the same of its caller."""

import msgspec
import pytest

from tokenward.kernel.signals import Asked, Client, Content, Network, Signals
from tokenward.lab.catalogue import dice, hashed, network, program
from tokenward.lab.drill.calls import CHAT, DEAD, EMBEDDINGS, MESSAGES, RESPONSES, understood
from tokenward.lab.drill.rendering import MODELS, Renderer
from tokenward.signals.content import read_content


def _call(model: str = "small-2", **content: object) -> Signals:
    fields = msgspec.convert({"root": "a" * 16, "script": "latin", **content}, Content)
    return Signals(
        at_ms=0,
        client=program(dice(1), "requests", 0),
        network=network(dice(2), "datacenter", "DE"),
        content=fields,
        asked=Asked(model=model, route="chat"),
    )


def test_models_and_routes_are_real_ones() -> None:
    assert Renderer().ask(_call()).path == CHAT
    assert Renderer().ask(_call("sonnet-5")).path == MESSAGES
    call = _call()
    for route, path in (("responses", RESPONSES), ("embeddings", EMBEDDINGS)):
        assert Renderer().ask(msgspec.structs.replace(call, asked=Asked(route=route))).path == path
    body = Renderer().ask(_call("large-1")).body
    assert body is not None
    assert body["model"] == MODELS["large-1"]


def test_a_conversation_goes_on_with_the_answers_that_were_served() -> None:
    body = Renderer({"b" * 16: "As I said."}).ask(_call(answers=["b" * 16, "c" * 16])).body
    assert body is not None
    said = [turn["content"] for turn in body["messages"] if turn["role"] == "assistant"]
    assert said[1] == "As I said."
    assert "c" * 16 in said[0]


def test_the_same_hash_gives_the_same_words_and_another_gives_others() -> None:
    one, again, other = (
        Renderer().ask(_call(system=text * 16)).body["messages"][0]["content"]  # type: ignore[index]  # there is a body
        for text in ("d", "d", "e")
    )
    assert one == again != other


@pytest.mark.parametrize("probe", ["no_output", "greeting", "states", "model_name", "say_test"])
def test_a_probe_is_read_as_the_probe_it_is(probe: str) -> None:
    call = _call(probe=probe)
    asked = msgspec.structs.replace(call.asked, output_limit=1)
    body = Renderer().ask(msgspec.structs.replace(call, asked=asked), 10**6, is_probe=True).body
    assert body is not None
    from tokenward.kernel.conversation import Conversation, Turn

    said = Conversation(turns=(Turn("user", body["messages"][0]["content"]),))
    seen = read_content(
        said,
        lambda text: "0" * 16,
        operation="chat",
        path=CHAT,
        output_limit=body["max_tokens"],
    )
    assert seen.probe == probe


def test_a_dead_route_is_asked_without_a_body() -> None:
    ask = Renderer().ask(_call(probe="dead_route", is_sure=True))
    assert (ask.path, ask.body) == (DEAD, None)


def test_what_a_call_costs_is_asked_for_in_its_answer_and_its_length() -> None:
    dear = Renderer().ask(_call("large-1"), 10**9).body
    cheap = Renderer().ask(_call("large-1"), 10**6).body
    assert dear is not None
    assert cheap is not None
    assert "output_tokens=33]]" in cheap["messages"][-1]["content"]
    assert "output_tokens=8000]]" in dear["messages"][-1]["content"]
    assert len(dear["messages"][-1]["content"]) > 100_000


def test_a_go_program_that_sells_passes_on_what_its_buyers_say() -> None:
    call = msgspec.structs.replace(_call(), client=Client(family="go"))
    assert Renderer().ask(call, 10**6).program == "go-relay"
    assert Renderer().ask(call, 10**6, is_probe=True).program == "go"


def test_another_variant_of_a_program_is_another_machine() -> None:
    client = Client(family="openai-python", fingerprint=hashed("program", "openai-python", 3))
    call = msgspec.structs.replace(_call(), client=client, network=Network(place="x"))
    assert Renderer().ask(call).program == "openai-python@3"


def test_answers_of_both_dialects_are_understood() -> None:
    refused = understood(
        403, b'{"error": {"code": "stepup:required", "incident": "inc_1", "message": "no"}}'
    )
    assert refused.is_stopped
    assert refused.is_held_back
    slowed = understood(429, b'{"error": {"code": "rate:suspect"}}')
    assert (slowed.is_slowed, slowed.is_held_back, slowed.is_stopped) == (True, True, False)
    other = understood(429, b'{"error": {"code": null}}')
    assert (other.is_held_back, other.name, slowed.name) == (False, "status 429", "rate:suspect")
    chat = understood(200, b'{"choices": [{"message": {"content": "yes"}}]}')
    message = understood(200, b'{"content": [{"type": "text", "text": "yes"}]}')
    response = understood(200, b'{"output": [{"content": [{"text": "yes"}]}, {"type": "x"}]}')
    assert chat.text == message.text == response.text == "yes"
    assert understood(502, b"<html>") == (502, "", "")
