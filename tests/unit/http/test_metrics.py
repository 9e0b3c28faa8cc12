"""/metrics counts what happened and cannot be filled by strangers."""

from tokenward.http.metrics import MODELS_MAX, Metrics
from tokenward.kernel.events import Record


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
