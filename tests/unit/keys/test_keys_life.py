"""A key's life: what each step changes, and which steps make no sense."""

from dataclasses import replace

import pytest

from tokenward.kernel.ids import Dice
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.authenticate import authenticate
from tokenward.keys.life import KeyDraft, create, freeze, revoke, rotate, unfreeze
from tokenward.keys.records import OLD_SECRETS_MAX, Caveats, KeyRecord

NOW = 1_767_322_800_000
HOUR = 3_600_000


class Holder:
    """A key and whoever rotates it: keeps every secret there was."""

    def __init__(self, dice: Dice, pepper: Secret, lifetime_ms: int | None = None) -> None:
        self.dice, self.pepper = dice, pepper
        draft = KeyDraft(project="shop", lifetime_ms=lifetime_ms)
        created = create(draft, dice, pepper, NOW)
        self.record, key = created.record, created.key
        self.texts = [key.reveal()]

    def rotate(self, grace_ms: int, now_ms: int = NOW) -> None:
        turned = rotate(self.record, self.dice, self.pepper, grace_ms, now_ms)
        assert not isinstance(turned, Refusal)
        self.record, key = turned
        self.texts.append(key.reveal())

    def working(self, now_ms: int) -> list[int]:
        """Which of the secrets, oldest first, open the key."""
        return [
            place
            for place, text in enumerate(self.texts)
            if authenticate(text, self.record, self.pepper, now_ms) is self.record
        ]


@pytest.fixture
def holder(dice: Dice, pepper: Secret) -> Holder:
    return Holder(dice, pepper)


def step(outcome: KeyRecord | Refusal) -> KeyRecord:
    assert isinstance(outcome, KeyRecord)
    return outcome


# create


def test_a_created_key_holds_what_the_draft_asked_for(dice: Dice, pepper: Secret) -> None:
    draft = KeyDraft(
        project="shop",
        account="acme",
        name="ci-2",
        caveats=Caveats(models=("gpt-*",)),
        lifetime_ms=HOUR,
    )
    created = create(draft, dice, pepper, NOW)
    record, key = created.record, created.key
    assert (record.project, record.account, record.name) == ("shop", "acme", "ci-2")
    assert record.caveats.models == ("gpt-*",)
    assert (record.created_ms, record.expires_ms) == (NOW, NOW + HOUR)
    assert authenticate(key.reveal(), record, pepper, NOW) is record


def test_two_created_keys_differ_in_id_and_secret(dice: Dice, pepper: Secret) -> None:
    keys = [create(KeyDraft(project="p"), dice, pepper, NOW) for _ in range(200)]
    assert len({created.record.id for created in keys}) == 200
    assert len({created.key.reveal()[18:50] for created in keys}) == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"project": ""},
        {"project": "a/b"},
        {"project": "x" * 65},
        {"project": "p", "account": "a b"},
        {"project": "p", "account": ""},
        {"project": "p", "name": "é"},
        {"project": "p", "name": "a\n"},
        {"project": "p", "lifetime_ms": 0},
        {"project": "p", "lifetime_ms": -1},
        {"project": "p", "lifetime_ms": 10**16},
        {"project": "p", "holder": "A" * 43},
        {"project": "p", "holder": "A" * 42, "caveats": Caveats(bind="dpop")},
        {"project": "p", "holder": "A" * 42 + "=", "caveats": Caveats(bind="dpop")},
    ],
)
def test_a_draft_of_an_impossible_key_cannot_be_made(asked: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        KeyDraft(**asked)  # type: ignore[arg-type]


# freeze, unfreeze, revoke


def test_freezing_and_unfreezing_restores_the_key(holder: Holder) -> None:
    stopped = step(freeze(holder.record, "odd hours"))
    assert (stopped.state, stopped.frozen_why) == ("frozen", "odd hours")
    assert step(unfreeze(stopped)) == holder.record


def test_steps_that_change_nothing_give_back_the_same_record(holder: Holder) -> None:
    stopped = step(freeze(holder.record, "first"))
    assert freeze(stopped, "second") is stopped
    assert unfreeze(holder.record) is holder.record
    dead = revoke(holder.record, "first")
    assert revoke(dead, "second") is dead


def test_nothing_brings_a_revoked_key_back(holder: Holder) -> None:
    dead = revoke(holder.record, "leaked")
    assert (dead.state, dead.revoked_why) == ("revoked", "leaked")
    for outcome in (
        freeze(dead, ""),
        unfreeze(dead),
        rotate(dead, holder.dice, holder.pepper, 0, NOW),
        rotate(dead, holder.dice, holder.pepper, HOUR, NOW),
    ):
        assert isinstance(outcome, Refusal)
        assert (outcome.code, outcome.status) == ("key:revoked", 409)


def test_a_frozen_key_can_be_revoked_and_keeps_its_story(holder: Holder) -> None:
    dead = revoke(step(freeze(holder.record, "odd")), "sure now")
    assert (dead.state, dead.frozen_why, dead.revoked_why) == ("revoked", "odd", "sure now")


def test_an_expired_key_can_still_be_frozen_and_revoked(dice: Dice, pepper: Secret) -> None:
    holder = Holder(dice, pepper, lifetime_ms=1)
    assert step(freeze(holder.record, "")).shown_state(NOW + 1) == "frozen"
    assert revoke(holder.record, "").shown_state(NOW + 1) == "revoked"
    assert step(unfreeze(step(freeze(holder.record, "")))).shown_state(NOW + 1) == "expired"


def test_a_reason_becomes_one_short_printable_line_and_never_stops_the_step(
    holder: Holder,
) -> None:
    why = " red \x1b[31m\r\nalert\x00 " + "x" * 10_000
    for shown in (step(freeze(holder.record, why)).frozen_why, revoke(holder.record, why)):
        text = shown if isinstance(shown, str) else shown.revoked_why
        assert text.startswith("red")
        assert text.isprintable()
        assert len(text) <= 200


# rotate


@pytest.mark.req("K-5")
def test_in_the_grace_both_secrets_work_and_one_tick_later_only_the_new_one(
    holder: Holder,
) -> None:
    holder.rotate(HOUR)
    assert holder.working(NOW) == [0, 1]
    assert holder.working(NOW + HOUR - 1) == [0, 1]
    assert holder.working(NOW + HOUR) == [1]


@pytest.mark.req("K-5")
def test_without_grace_the_old_secret_is_dead_at_once(holder: Holder) -> None:
    holder.rotate(0)
    assert holder.working(NOW) == [1]


@pytest.mark.req("K-5")
def test_a_rotation_without_grace_also_ends_the_graces_that_still_run(holder: Holder) -> None:
    holder.rotate(HOUR)
    holder.rotate(0)
    assert holder.working(NOW) == [2]
    assert holder.record.old_secrets == ()


@pytest.mark.req("K-5")
def test_a_revocation_kills_the_new_secret_and_all_in_grace(holder: Holder) -> None:
    holder.rotate(HOUR)
    holder.record = revoke(holder.record, "emergency")
    assert holder.working(NOW) == []
    assert holder.record.old_secrets == ()


@pytest.mark.req("K-5")
def test_each_old_secret_keeps_its_own_grace(holder: Holder) -> None:
    holder.rotate(2 * HOUR)
    holder.rotate(HOUR, NOW + 10)
    assert holder.working(NOW + 10) == [0, 1, 2]
    assert holder.working(NOW + HOUR + 10) == [0, 2]
    assert holder.working(NOW + 2 * HOUR) == [2]


def test_only_a_few_old_secrets_live_and_the_oldest_goes_first(holder: Holder) -> None:
    for _ in range(OLD_SECRETS_MAX + 2):
        holder.rotate(HOUR)
    assert len(holder.record.old_secrets) == OLD_SECRETS_MAX
    assert holder.working(NOW) == [2, 3, 4, 5]


def test_graces_that_have_ended_are_forgotten_at_the_next_rotation(holder: Holder) -> None:
    holder.rotate(HOUR)
    holder.rotate(HOUR, NOW + HOUR)
    assert len(holder.record.old_secrets) == 1


def test_rotation_keeps_all_but_the_secret(holder: Holder) -> None:
    before = holder.record
    holder.rotate(HOUR)
    after = holder.record
    assert after.digest != before.digest
    assert replace(after, digest=before.digest, old_secrets=()) == before


def test_a_frozen_key_rotates_only_without_grace_and_stays_frozen(holder: Holder) -> None:
    holder.rotate(HOUR)
    holder.record = step(freeze(holder.record, "stolen"))
    refusal = rotate(holder.record, holder.dice, holder.pepper, HOUR, NOW)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.status) == ("key:frozen", 409)
    assert "--grace 0s" in refusal.message
    holder.rotate(0)
    assert holder.record.state == "frozen"
    assert holder.working(NOW) == []
    holder.record = step(unfreeze(holder.record))
    assert holder.working(NOW) == [2]


@pytest.mark.parametrize("is_frozen", [False, True])
def test_an_expired_key_is_not_rotated_back_to_life(
    is_frozen: bool, dice: Dice, pepper: Secret
) -> None:
    record = Holder(dice, pepper, lifetime_ms=1).record
    if is_frozen:
        record = step(freeze(record, ""))
    refusal = rotate(record, dice, pepper, 0, NOW + 1)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.status) == ("key:expired", 409)


@pytest.mark.parametrize("grace_ms", [-1, 10**16])
def test_an_impossible_grace_is_an_error(grace_ms: int, holder: Holder) -> None:
    with pytest.raises(ValueError, match="grace"):
        rotate(holder.record, holder.dice, holder.pepper, grace_ms, NOW)
