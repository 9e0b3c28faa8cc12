"""What a refusal does to a program that uses an official SDK as it comes: which exception, how many
requests, how long a sleep, and whether a person can read what to do (F-2).

The SDKs' sleeps are written down instead of slept.
"""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import anthropic
import openai
import pytest

from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess
from tab import Tab

SDKS = ("openai", "anthropic")
MODELS = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5"}
DEAR = {"openai": "gpt-4o", "anthropic": "claude-opus-5-5"}
MESSAGES: Any = [{"role": "user", "content": "hi"}]
TRIES = 3  # one and the two retries that both make by default


@dataclass
class Refused:
    """How one call ended for the program that made it."""

    error: Any
    naps_s: list[float]
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def told(self) -> dict[str, Any]:
        """The error object inside the body, whatever the SDK made of it."""
        body = self.error.body
        return dict(body.get("error", body))


def say(sdk: str, url: str, key: str, headers: dict[str, str], **wishes: Any) -> Any:
    """One call with the package's defaults."""
    if sdk == "openai":
        with openai.OpenAI(api_key=key, base_url=f"{url}/v1") as client:
            body: Any = {"model": MODELS[sdk], "max_completion_tokens": 1000, **wishes}
            return client.chat.completions.create(messages=MESSAGES, extra_headers=headers, **body)
    with anthropic.Anthropic(api_key=key, base_url=url) as claude:
        body = {"model": MODELS[sdk], "max_tokens": 1000, **wishes}
        return claude.messages.create(messages=MESSAGES, extra_headers=headers, **body)


Refuse = Callable[..., Refused]


@pytest.fixture
def refuse(guard: GuardProcess, standin: StandinProcess, monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Makes a call that must be refused; the guard's records are found by the request's id, which
    all tries of one call share."""

    def made(sdk: str, tab: Tab, key: str = "", url: str = "", **wishes: Any) -> Refused:
        name = f"refused-{uuid4().hex}"
        headers = {**tab.script(), "x-request-id": name}
        naps_s: list[float] = []
        errors = openai if sdk == "openai" else anthropic
        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", naps_s.append)
            with pytest.raises(errors.APIStatusError) as caught:
                say(sdk, url or guard.base_url, key or tab.key, headers, **wishes)
        ended = Refused(caught.value, naps_s, tab.named(name, tries=len(naps_s) + 1))
        assert ended.error.request_id == name
        assert {record["status"] for record in ended.records} == {ended.error.status_code}
        assert not any(record.get("cost_nusd") for record in ended.records)
        assert tab.lines() == []
        return ended

    return made


@pytest.mark.req("F-2")
@pytest.mark.parametrize("sdk", SDKS)
def test_a_reached_cap_is_one_request_and_a_sentence_that_names_it(
    sdk: str, refuse: Refuse, guard: GuardProcess, standin: StandinProcess
) -> None:
    tab = Tab(guard, standin, "0.0001/day")
    ended = refuse(sdk, tab)
    assert type(ended.error).__name__ == "RateLimitError"
    assert ended.naps_s == []
    assert [record["refusal"] for record in ended.records] == ["cap:reached"]
    told = ended.told
    assert (told["code"], told["subject"]) == ("cap:reached", f"key:{tab.key_id}")
    assert (told["limit"], told["spent"], told["held"]) == (100_000, 0, 0)
    assert told["resets_at"].endswith("Z")
    assert "daily cap of $0.0001 (spent $0.00, held nothing)" in told["message"]
    assert "tokenward cap set" in told["message"]


@pytest.mark.req("F-2")
@pytest.mark.parametrize("sdk", SDKS)
def test_held_money_is_told_from_spent_money_and_tried_again_soon(
    sdk: str, refuse: Refuse, guard: GuardProcess, standin: StandinProcess
) -> None:
    tab = Tab(guard, standin, "0.011/day")
    other = Tab(guard, standin)
    with openai.OpenAI(api_key=tab.key, base_url=f"{guard.base_url}/v1") as client:
        stream = client.chat.completions.create(
            model="gpt-5-mini",
            messages=MESSAGES,
            max_completion_tokens=2500,
            stream=True,
            extra_headers=other.script("chunks=15; gap_ms=100"),
        )
        next(stream)
        ended = refuse(sdk, tab)
        list(stream)
    assert type(ended.error).__name__ == "RateLimitError"
    assert len(ended.naps_s) == TRIES - 1
    assert all(0 < nap_s <= 30 for nap_s in ended.naps_s)
    assert [record["refusal"] for record in ended.records] == ["cap:held"] * TRIES
    told = ended.told
    assert (told["code"], told["spent"]) == ("cap:held", 0)
    assert 9_000_000 < told["held"] <= told["limit"] == 11_000_000
    assert "(spent $0.00, held $0.009" in told["message"]
    assert "by 1 running call" in told["message"]


@pytest.mark.slow
@pytest.mark.req("F-2")
@pytest.mark.parametrize("sdk", SDKS)
def test_the_retry_that_a_held_cap_allows_succeeds_by_itself(
    sdk: str, guard: GuardProcess, standin: StandinProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of sleeping before its retry, the SDK waits for the call that holds the money."""
    tab = Tab(guard, standin, "0.011/day")
    with openai.OpenAI(api_key=tab.key, base_url=f"{guard.base_url}/v1") as client:
        stream = client.chat.completions.create(
            model="gpt-5-mini",
            messages=MESSAGES,
            max_completion_tokens=2500,
            stream=True,
            extra_headers=tab.script("chunks=4; gap_ms=1000"),
        )
        next(stream)
        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", lambda _wait_s: list(stream))
            assert say(sdk, guard.base_url, tab.key, tab.script()).usage
    ends = [record.get("outcome") or record["refusal"] for record in tab.records(3)]
    assert sorted(ends) == ["cap:held", "complete", "complete"]
    assert tab.spent_nusd() == sum(line["cost_nusd"] for line in tab.lines())


@pytest.mark.req("F-2")
@pytest.mark.parametrize("sdk", SDKS)
def test_a_rate_limit_that_is_a_minute_off_says_how_long_and_is_not_slept_out(
    sdk: str, refuse: Refuse, guard: GuardProcess, standin: StandinProcess
) -> None:
    tab, other = Tab(guard, standin, rpm=1), Tab(guard, standin)
    assert say(sdk, guard.base_url, tab.key, other.script())
    ended = refuse(sdk, tab)
    assert type(ended.error).__name__ == "RateLimitError"
    assert 30 < int(ended.error.response.headers["retry-after"]) <= 61, "a minute and a second"
    assert ended.naps_s == []
    assert [record["refusal"] for record in ended.records] == ["rate:exceeded"]
    assert (ended.told["code"], ended.told["limit"]) == ("rate:exceeded", 1)


@pytest.mark.req("F-2")
@pytest.mark.parametrize("sdk", SDKS)
def test_a_model_that_is_not_allowed_is_one_request(
    sdk: str, refuse: Refuse, guard: GuardProcess, standin: StandinProcess
) -> None:
    tab = Tab(guard, standin, models=list(MODELS.values()))
    ended = refuse(sdk, tab, model=DEAR[sdk])
    assert type(ended.error).__name__ == "PermissionDeniedError"
    assert ended.naps_s == []
    assert [record["refusal"] for record in ended.records] == ["model:not_allowed"]
    assert ended.told["code"] == "model:not_allowed"
    assert DEAR[sdk] in ended.told["message"]


@pytest.mark.req("F-2")
@pytest.mark.parametrize("sdk", SDKS)
def test_an_unknown_key_is_an_authentication_error(
    sdk: str, refuse: Refuse, guard: GuardProcess, standin: StandinProcess
) -> None:
    tab = Tab(guard, standin)
    tab.admin("POST", f"/keys/{tab.key_id}/revoke", {})
    for key in (tab.key, "sk-of-somebody-else"):
        ended = refuse(sdk, tab, key=key)
        assert type(ended.error).__name__ == "AuthenticationError"
        assert ended.naps_s == []
        assert len(ended.records) == 1
        assert ended.told["code"] == "key:invalid"


@pytest.mark.req("F-2")
@pytest.mark.parametrize("sdk", SDKS)
def test_a_frozen_key_is_one_request_and_says_so(
    sdk: str, refuse: Refuse, guard: GuardProcess, standin: StandinProcess
) -> None:
    tab = Tab(guard, standin)
    tab.admin("POST", f"/keys/{tab.key_id}/freeze", {"why": "a test"})
    ended = refuse(sdk, tab)
    assert type(ended.error).__name__ == "PermissionDeniedError"
    assert ended.naps_s == []
    assert [record["refusal"] for record in ended.records] == ["key:frozen"]
    assert ended.told["code"] == "key:frozen"
    assert f"tokenward key unfreeze {tab.key_id}" in ended.told["message"]


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardProcess]:
    """A guard whose providers refuse every connection."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings = provider_settings(f"http://127.0.0.1:{closed.getsockname()[1]}")
        folder = tmp_path_factory.mktemp("lonely")
        with running_guard(folder, settings, {"PROVIDER_KEY": "nobody-asks"}) as running:
            yield running


@pytest.mark.req("F-2")
@pytest.mark.parametrize("sdk", SDKS)
def test_a_provider_that_cannot_be_reached_is_tried_again_and_costs_nothing(
    sdk: str, refuse: Refuse, lonely: GuardProcess, standin: StandinProcess
) -> None:
    tab = Tab(lonely, standin)
    ended = refuse(sdk, tab, url=lonely.base_url)
    errors = openai if sdk == "openai" else anthropic
    assert isinstance(ended.error, errors.InternalServerError)
    assert ended.error.status_code == 503
    assert len(ended.naps_s) == TRIES - 1
    assert all(0 < nap_s <= 5 for nap_s in ended.naps_s)
    assert [record["refusal"] for record in ended.records] == ["provider:unavailable"] * TRIES
    assert tab.spent_nusd() == 0
