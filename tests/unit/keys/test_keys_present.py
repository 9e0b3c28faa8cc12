"""The JSON shapes of keys."""

import json
from dataclasses import replace

import pytest

from tokenward.kernel.ids import Dice
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.caveats import read_caveats
from tokenward.keys.life import Created, KeyDraft, create, freeze, rotate
from tokenward.keys.present import show_created, show_key
from tokenward.keys.records import Bar

NOW = 1_767_322_800_000
DAY = 86_400_000


@pytest.fixture
def made(dice: Dice, pepper: Secret) -> Created:
    caveats = read_caveats(models=["gpt-*"], max_call="0.50", rpm=5)
    draft = KeyDraft(project="shop", name="ci", caveats=caveats, lifetime_ms=DAY)
    return create(draft, dice, pepper, NOW)


def test_a_created_key_shows_its_text_caps_and_times(made: Created) -> None:
    record = made.record
    caps: list[JsonObject] = [{"subject": f"key:{record.id}", "limit": 5}]
    assert show_created(made, caps) == {
        "id": record.id,
        "key": made.key.reveal(),
        "account": "default",
        "project": "shop",
        "name": "ci",
        "caps": caps,
        "created_at": "2026-01-02T03:00:00.000Z",
        "expires_at": "2026-01-03T03:00:00.000Z",
        "bind": "none",
        "holder": "",
        "enrolment_code": None,
        "enrolment_until": None,
    }


def test_a_bound_key_shows_the_code_for_its_holder_and_until_when(
    dice: Dice, pepper: Secret
) -> None:
    draft = KeyDraft(project="shop", caveats=read_caveats(bind="dpop"))
    made = create(draft, dice, pepper, NOW)
    shown = show_created(made, [])
    assert made.code is not None
    assert shown["enrolment_code"] == made.code.reveal()
    assert shown["enrolment_until"] == "2026-01-02T04:00:00.000Z"
    assert (shown["bind"], shown["holder"]) == ("dpop", "")


def test_a_listed_key_shows_its_state_and_caveats(made: Created) -> None:
    record = made.record
    assert show_key(record, NOW) == {
        "id": record.id,
        "state": "live",
        "account": "default",
        "project": "shop",
        "name": "ci",
        "bind": "none",
        "holder": "",
        "caveats": {"models": ["gpt-*"], "max_call_nusd": 500_000_000, "rpm": 5},
        "created_at": "2026-01-02T03:00:00.000Z",
        "expires_at": "2026-01-03T03:00:00.000Z",
        "last_used_at": None,
        "old_secret_until": None,
        "frozen_why": "",
        "revoked_why": "",
        "cleared": [],
        "barred": [],
    }


def test_a_key_shows_what_is_barred_by_which_incident_and_what_was_cleared(made: Created) -> None:
    record = replace(
        made.record, cleared=("origin:4f2a@DE",), barred=(Bar("model:gpt-5", "inc_1"),)
    )
    shown = show_key(record, NOW)
    assert shown["cleared"] == ["origin:4f2a@DE"]
    assert shown["barred"] == [{"thing": "model:gpt-5", "incident": "inc_1"}]


def test_the_state_follows_the_clock_and_the_freeze(made: Created) -> None:
    record = made.record
    stopped = freeze(record, "odd")
    assert not isinstance(stopped, Refusal)
    assert show_key(record, NOW + DAY)["state"] == "expired"
    assert show_key(stopped, NOW)["state"] == "frozen"
    assert show_key(stopped, NOW)["frozen_why"] == "odd"


def test_a_running_grace_is_shown_until_it_ends(made: Created, dice: Dice, pepper: Secret) -> None:
    turned = rotate(made.record, dice, pepper, 1_000, NOW)
    assert not isinstance(turned, Refusal)
    assert show_key(turned[0], NOW)["old_secret_until"] == "2026-01-02T03:00:01.000Z"
    assert show_key(turned[0], NOW + 1_000)["old_secret_until"] is None


@pytest.mark.req("K-3")
def test_the_key_text_appears_at_creation_only_and_the_digest_never(
    made: Created, dice: Dice, pepper: Secret
) -> None:
    record, key = made.record, made.key
    turned = rotate(record, dice, pepper, 1_000, NOW)
    assert not isinstance(turned, Refusal)
    for shown in (show_key(record, NOW), show_key(turned[0], NOW)):
        text = json.dumps(shown)
        assert key.reveal()[18:50] not in text
        assert turned[1].reveal()[18:50] not in text
        assert record.digest.hex() not in text
