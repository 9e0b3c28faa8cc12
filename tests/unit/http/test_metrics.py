"""/metrics counts what happened and cannot be filled by strangers."""

import asyncio
from functools import partial
from typing import get_args

from prometheus_client.parser import text_string_to_metric_families

from tokenward.http.metrics import MODELS_MAX, SAMPLES_AT_ONCE, Metrics
from tokenward.kernel.events import Record
from tokenward.policy.verdict import Action


def answered(model: str, **more: object) -> Record:
    values: dict[str, object] = {
        "ts": 1,
        "request_id": "r",
        "dialect": "openai",
        "route": "chat.completions",
        "provider": "openai",
        "model": model,
        "status": 200,
        "provider_status": 200,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_nusd": 2_000_000,
        "total_ms": 20,
        "ttft_ms": 10,
        "guard_us": 300,
    }
    return Record(**(values | more))  # type: ignore[arg-type]  # names are Record's own


async def test_a_call_is_counted_under_the_names_of_the_conventions() -> None:
    metrics = Metrics()
    metrics.observe(answered("gpt-5-mini"))
    text = (await metrics.text()).decode()
    assert 'gen_ai_request_model="gpt-5-mini"' in text
    assert "gen_ai_server_request_duration_seconds_count" in text
    assert "gen_ai_client_token_usage_sum" in text
    assert 'tokenward_cost_usd_total{gen_ai_request_model="gpt-5-mini"} 0.002' in text


async def test_names_that_no_provider_answered_for_make_no_series() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.observe(answered(f"random-{number}", status=404, provider_status=None))
        metrics.observe(answered(f"random-{number}", status=404, provider_status=404))
    assert "random-" not in (await metrics.text()).decode()


async def test_the_number_of_models_is_bounded() -> None:
    metrics = Metrics()
    for number in range(MODELS_MAX + 5):
        metrics.observe(answered(f"model-{number}"))
    text = (await metrics.text()).decode()
    assert f'"model-{MODELS_MAX - 1}"' in text
    assert f'"model-{MODELS_MAX}"' not in text
    assert '"other"' in text


async def test_incidents_are_counted_by_what_they_did_from_nothing_on() -> None:
    metrics = Metrics()
    actions = sorted(set(get_args(Action)) - {"allow"})
    assert {"hold", "challenge", "freeze"} <= set(actions)
    lines = (await metrics.text()).decode().splitlines()
    assert 'tokenward_incidents_total{action="family revoked"} 0.0' in lines
    for action in actions:  # else nobody's alarm would notice the first one
        assert f'tokenward_incidents_total{{action="{action}"}} 0.0' in lines
        assert f'tokenward_would_total{{action="{action}"}} 0.0' in lines
    for action in ("hold", "family revoked", "hold"):
        metrics.opened(action)
    lines = (await metrics.text()).decode().splitlines()
    assert 'tokenward_incidents_total{action="hold"} 2.0' in lines
    assert 'tokenward_incidents_total{action="challenge"} 0.0' in lines
    assert 'tokenward_incidents_total{action="family revoked"} 1.0' in lines


async def test_what_is_only_observed_is_counted_by_what_would_have_been_done() -> None:
    metrics = Metrics()
    metrics.observe(answered("gpt-5-mini", key="0123456789ab"))
    metrics.observe(answered("gpt-5-mini", key="0123456789ab", would="challenge"))
    metrics.observe(answered("gpt-5", status=502, refusal="provider:no_answer", would="challenge"))
    refused = answered("gpt-5", status=404, provider_status=None, verdict="refuse", would="hold")
    metrics.observe(refused)
    text = (await metrics.text()).decode()
    assert 'tokenward_would_total{action="challenge"} 2.0' in text.splitlines()
    assert 'tokenward_would_total{action="hold"} 0.0' in text.splitlines()
    assert 'tokenward_incidents_total{action="challenge"} 0.0' in text.splitlines()
    assert "0123456789ab" not in text


async def test_the_page_is_written_in_pieces_and_is_one_page_all_the_same() -> None:
    metrics, other = Metrics(), Metrics()
    metrics.observe(answered("\n# HELP me\n"))
    for number in range(MODELS_MAX):
        metrics.observe(answered(f"model-{number}"))
    pieces = list(metrics.pieces())
    assert max(len(piece.samples) for piece in pieces) <= SAMPLES_AT_ONCE
    told = {
        (each.name, frozenset(each.labels.items())): each.value
        for one in pieces
        for each in one.samples
    }
    for alone in (True, False):
        if not alone:
            metrics.others = partial(asyncio.sleep, 0, [(True, other.shown())])
        families = list(text_string_to_metric_families((await metrics.text()).decode()))
        names = [family.name for family in families]
        assert len(set(names)) == len(names), "every metric stands in one place"
        shown = {
            (each.name, frozenset(each.labels.items())): each.value
            for family in families
            for each in family.samples
        }
        assert shown.keys() == told.keys()
        assert all(shown[each] == told[each] for each in told if not each[0].endswith("_created"))


async def test_processes_of_one_guard_are_added_up_and_none_goes_back_when_one_is_gone() -> None:
    ours, theirs, gone = Metrics(), Metrics(), Metrics()
    for metrics in (ours, theirs, gone):
        metrics.watch("running_calls", "Calls.", lambda: 2)
        metrics.observe(answered("gpt-5-mini"))
    theirs.observe(answered("gpt-5"))

    async def others() -> list[tuple[bool, bytes]]:
        return [(True, theirs.shown()), (False, gone.shown())]

    ours.others = others
    lines = (await ours.text()).decode().splitlines()
    assert "tokenward_running_calls 4.0" in lines, "what is gone runs nothing"
    assert 'tokenward_cost_usd_total{gen_ai_request_model="gpt-5-mini"} 0.006' in lines
    assert 'tokenward_cost_usd_total{gen_ai_request_model="gpt-5"} 0.002' in lines
    assert "tokenward_guard_seconds_count 4.0" in lines
    began = [line for line in lines if line.startswith("tokenward_guard_seconds_created ")]
    assert len(began) == 1
    assert float(began[0].split()[1]) < 1e10, "moments are not added"
    alone = Metrics()
    alone.observe(answered("gpt-5-mini"))
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {line.split()[2] for line in (await alone.text()).decode().splitlines()
            if line.startswith("# TYPE")} <= names  # fmt: skip
