"""Enrolling a holder: once, with the code, and with nothing else."""

from dataclasses import replace

import pytest

from tokenward.kernel.ids import Dice
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.authenticate import authenticate
from tokenward.keys.enrolment import CODE_LIFETIME_MS, enrol, read_code_id
from tokenward.keys.life import Created, KeyDraft, create, enrol_anew, revoke, rotate
from tokenward.keys.records import Caveats, KeyRecord

NOW = 1_767_322_800_000
HER = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
THIEF = "A" * 43


@pytest.fixture
def made(dice: Dice, pepper: Secret) -> Created:
    draft = KeyDraft(project="shop", caveats=Caveats(bind="dpop", rpm=3), lifetime_ms=10**10)
    return create(draft, dice, pepper, NOW)


def code_of(created: Created) -> str:
    assert created.code is not None
    return created.code.reveal()


def enrolled(
    code: str, record: KeyRecord, pepper: Secret, who: str = HER, now_ms: int = NOW
) -> tuple[KeyRecord, str]:
    done = enrol(code, record, who, pepper, now_ms)
    assert not isinstance(done, Refusal), done
    return done[0], done[1].reveal()


def refused(code: str, record: KeyRecord | None, pepper: Secret, **more: object) -> str:
    done = enrol(code, record, more.get("who", HER), pepper, more.get("now_ms", NOW))  # type: ignore[arg-type]
    assert isinstance(done, Refusal)
    assert done.shown_code == "enrolment:invalid"
    return done.code


def test_the_code_binds_the_key_to_its_holder_and_hands_the_key_over(
    made: Created, pepper: Secret
) -> None:
    record, text = enrolled(code_of(made), made.record, pepper)
    assert record.holder == HER
    assert text == made.key.reveal()
    assert authenticate(text, record, pepper, NOW) is record
    assert read_code_id(code_of(made)) == record.id


def test_a_bound_key_with_a_known_holder_needs_no_code(dice: Dice, pepper: Secret) -> None:
    draft = KeyDraft(project="shop", caveats=Caveats(bind="dpop"), holder=HER)
    created = create(draft, dice, pepper, NOW)
    assert created.code is None
    assert created.record.enrolment is None
    assert created.record.holder == HER


def test_a_bearer_key_has_no_code(dice: Dice, pepper: Secret) -> None:
    assert create(KeyDraft(project="shop"), dice, pepper, NOW).code is None


def test_the_same_holder_may_ask_again_because_the_answer_may_be_lost(
    made: Created, pepper: Secret
) -> None:
    record, text = enrolled(code_of(made), made.record, pepper)
    assert enrolled(code_of(made), record, pepper) == (record, text)


def test_for_anybody_else_the_code_is_used_up(made: Created, pepper: Secret) -> None:
    record, _ = enrolled(code_of(made), made.record, pepper)
    assert refused(code_of(made), record, pepper, who=THIEF) == "enrolment:used"


def test_a_code_is_good_for_an_hour(made: Created, pepper: Secret) -> None:
    late = NOW + CODE_LIFETIME_MS
    assert refused(code_of(made), made.record, pepper, now_ms=late) == "enrolment:invalid"
    enrolled(code_of(made), made.record, pepper, now_ms=late - 1)


@pytest.mark.parametrize("place", [0, 6, 17, 18, 49, 55])
def test_a_mistyped_code_enrols_nobody(made: Created, pepper: Secret, place: int) -> None:
    code = code_of(made)
    other = "a" if code[place] != "a" else "b"
    wrong = code[:place] + other + code[place + 1 :]
    assert refused(wrong, made.record, pepper) == "enrolment:invalid"


@pytest.mark.parametrize("code", ["", "tw_ec_", "x" * 56, "tw_ec_" + "é" * 50])
def test_what_is_no_code_enrols_nobody(made: Created, pepper: Secret, code: str) -> None:
    assert refused(code, made.record, pepper) == "enrolment:invalid"
    assert refused(code, None, pepper) == "enrolment:invalid"


def test_the_key_is_no_code_and_the_code_no_key(made: Created, pepper: Secret) -> None:
    assert refused(made.key.reveal(), made.record, pepper) == "enrolment:invalid"
    assert isinstance(authenticate(code_of(made), made.record, pepper, NOW), Refusal)


def test_the_code_of_another_key_enrols_nobody(made: Created, dice: Dice, pepper: Secret) -> None:
    other = create(KeyDraft(project="shop", caveats=Caveats(bind="dpop")), dice, pepper, NOW)
    assert refused(code_of(other), made.record, pepper) == "enrolment:invalid"


def test_a_revoked_or_expired_key_takes_no_holder(made: Created, pepper: Secret) -> None:
    assert refused(code_of(made), revoke(made.record, ""), pepper) == "enrolment:invalid"
    ended = replace(made.record, expires_ms=NOW)
    assert refused(code_of(made), ended, pepper) == "enrolment:invalid"


def test_a_sealed_text_that_was_tampered_with_is_not_handed_over(
    made: Created, pepper: Secret
) -> None:
    assert made.record.enrolment is not None
    torn = replace(made.record.enrolment, sealed=b"\x00" * 72)
    assert refused(code_of(made), replace(made.record, enrolment=torn), pepper)


def test_nothing_that_is_kept_shows_the_key_or_the_code(made: Created) -> None:
    kept = repr(made.record) + repr(made.record.enrolment)
    assert made.key.reveal() not in kept
    assert code_of(made) not in kept
    assert made.record.enrolment is not None
    assert made.key.reveal().encode() not in made.record.enrolment.sealed


# another holder


def test_another_holder_gets_a_new_secret_and_the_one_before_is_out(
    made: Created, dice: Dice, pepper: Secret
) -> None:
    record, text = enrolled(code_of(made), made.record, pepper)
    anew = enrol_anew(record, "", dice, pepper, NOW + 1)
    assert isinstance(anew, Created)
    assert (anew.record.id, anew.record.holder, anew.record.caveats) == (
        record.id,
        "",
        record.caveats,
    )
    assert isinstance(authenticate(text, anew.record, pepper, NOW + 1), Refusal)
    assert refused(code_of(made), anew.record, pepper) == "enrolment:invalid"
    bound, new_text = enrolled(code_of(anew), anew.record, pepper, THIEF, NOW + 1)
    assert bound.holder == THIEF
    assert new_text != text


def test_a_bearer_key_can_be_bound_later_and_keeps_its_other_caveats(
    dice: Dice, pepper: Secret
) -> None:
    caveats = Caveats(models=("gpt-*",))
    bearer = create(KeyDraft(project="shop", caveats=caveats), dice, pepper, NOW)
    for bind, then in (("", "dpop"), ("dpop+body", "dpop+body"), ("mtls", "mtls")):
        anew = enrol_anew(bearer.record, bind, dice, pepper, NOW)
        assert isinstance(anew, Created)
        assert anew.record.caveats == Caveats(models=("gpt-*",), bind=then)


def test_a_revoked_key_gets_no_other_holder(made: Created, dice: Dice, pepper: Secret) -> None:
    done = enrol_anew(revoke(made.record, ""), "", dice, pepper, NOW)
    assert isinstance(done, Refusal)
    assert done.code == "key:revoked"


def test_an_expired_key_gets_no_other_holder(made: Created, dice: Dice, pepper: Secret) -> None:
    done = enrol_anew(replace(made.record, expires_ms=NOW), "", dice, pepper, NOW)
    assert isinstance(done, Refusal)
    assert done.code == "key:expired"


def test_a_rotated_key_stays_bound_and_its_unused_code_is_void(
    made: Created, dice: Dice, pepper: Secret
) -> None:
    bound, _ = enrolled(code_of(made), made.record, pepper)
    turned = rotate(bound, dice, pepper, 0, NOW)
    assert not isinstance(turned, Refusal)
    assert turned[0].holder == HER
    waiting = rotate(made.record, dice, pepper, 0, NOW)
    assert not isinstance(waiting, Refusal)
    assert refused(code_of(made), waiting[0], pepper) == "enrolment:invalid"
