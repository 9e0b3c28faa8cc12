"""Which workload is this? Another issuer's token, read and checked against the rules (RFC 8693).

A workload (a CI job, a pod, a service) has no key of ours: its platform signs a short token that
says what runs, and a rule of the settings says which key's caps and caveats then apply.

The token is read before anything is fetched or verified, and says nothing until its signature is
good. What does not fit stands in the code of the refusal, for the records; all of them look alike
to whoever asks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tokenward.kernel import jws
from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.kernel.refusals import Refusal
from tokenward.keys.workload_rules import Misfit, Rule, misfit_of, shown, source_of

TOKEN_TYPES: Final = (
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
)
TOKEN_BYTES_MAX: Final = 16_384
TEXT_CHARS_MAX: Final = 1_024
SKEW_MS: Final = 5_000
"""How far an issuer's clock may be ahead of ours. An end is an end: it gets no such mercy."""
LIFETIME_MS_MAX: Final = 3_600_000
_YEAR_5138_S: Final = 100_000_000_000
# Nothing in a header may say where a key is, or what else must be understood (RFC 7515 4.1).
_NOT_TAKEN: Final = ("crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc")
_TYPES: Final = (None, "jwt", "jose")


@dataclass(frozen=True, slots=True)
class SubjectToken:
    """A token taken apart, not verified. `source` is whose keys must have signed it."""

    source: str
    algorithm: str
    kid: str
    compact: jws.Compact


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Who asks. `who` is the token's subject, `until_ms` (Unix ms) its end, and `replay_key` names
    the token in the replay store."""

    key_id: str
    rule: str
    who: str
    issuer: str
    until_ms: int
    replay_key: bytes


@dataclass(frozen=True, slots=True)
class Unfit:
    """A refusal, and for the operator's eyes alone what it is about: `rule` and `why`."""

    refusal: Refusal
    rule: str
    why: str


def refuse(code: str) -> Refusal:
    """One answer for every token that opens nothing: it is no oracle of the rules."""
    return Refusal(
        code,
        400,
        "The subject token opens nothing here. It has ended or is not from this hour, it was used "
        "before (each is good for one exchange), it is for another audience, or it is of a "
        "workload that no rule of this guard names. Get a new one for this guard's audience and "
        "exchange that; the guard's operator finds the reason under the id of this request.",
        public_code="workload:invalid",
    )


INVALID: Final = refuse("workload:invalid")
REPLAYED: Final = refuse("workload:replayed")


def read_subject_token(text: str, token_type: str) -> SubjectToken | Refusal:
    """Take the token apart; costs no look-up and believes nothing of it."""
    if token_type not in TOKEN_TYPES or not text.isascii():
        return INVALID
    try:
        compact = jws.read_compact(text.encode("ascii"), TOKEN_BYTES_MAX)
    except ValueError:
        return INVALID
    header = compact.header
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if isinstance(kind, str):
        kind = kind.lower()  # RFC 7519 5.1: `JWT` is only recommended to be written so
    if any(name in header for name in _NOT_TAKEN) or kind not in _TYPES:
        return INVALID
    if not _is_text(algorithm) or not _is_text(kid):
        return INVALID
    source = source_of(compact.claims)
    return SubjectToken(source, str(algorithm), str(kid), compact) if source else INVALID


def rules_for(token: SubjectToken, rules: Iterable[Rule]) -> tuple[Rule, ...] | Refusal:
    """The rules whose issuer's keys may have signed this token, with this algorithm."""
    pinned = [rule for rule in rules if rule.source == token.source]
    if not pinned:
        return refuse("workload:issuer")
    fitting = tuple(rule for rule in pinned if token.algorithm in rule.algorithms)
    return fitting or refuse("workload:signature")


def identify(
    token: SubjectToken, rules: tuple[Rule, ...], audience: str, now_ms: int, since_ms: int
) -> Workload | Unfit:
    """Whose is this token, whose signature is good? The first rule that fits says it.

    `audience` is for rules that name none. `since_ms` (Unix ms): what was used before is
    forgotten, so tokens made before are not taken.
    """
    claims = token.compact.claims
    until_ms = _check_times(claims, now_ms, since_ms)
    if isinstance(until_ms, Unfit):
        return until_ms
    jti, subject = claims.get("jti"), claims.get("sub")
    if not (jti is None or _is_text(jti)) or not isinstance(subject, str) or not _is_text(subject):
        return Unfit(INVALID, "", "sub or jti is not a short, visible text")
    misfits: list[tuple[Misfit, Rule]] = []
    for rule in rules:
        misfit = misfit_of(rule, claims, audience)
        if misfit is None:
            return Workload(
                key_id=rule.key_id,
                rule=rule.name,
                who=subject,
                issuer=token.source,
                until_ms=until_ms,
                replay_key=_replay_key(token, jti),
            )
        misfits.append((misfit, rule))
    nearest, rule = max(misfits, key=lambda pair: pair[0].passed)
    return Unfit(refuse(nearest.code), rule.name, f"{nearest.why} (sub {shown(subject)})")


def _check_times(claims: JsonObject, now_ms: int, since_ms: int) -> int | Unfit:
    """When it ends, Unix ms."""
    exp_ms, iat_ms, nbf_ms = (
        jws.numeric_date_ms(claims.get(name)) for name in ("exp", "iat", "nbf")
    )
    if exp_ms is None or iat_ms is None or (nbf_ms is None and "nbf" in claims):
        return Unfit(refuse("workload:expired"), "", "exp, iat or nbf is no moment, or is missing")
    if exp_ms <= now_ms:
        return Unfit(refuse("workload:expired"), "", f"it ended {now_ms - exp_ms} ms ago")
    ahead_ms = max(iat_ms, nbf_ms or 0) - now_ms
    if ahead_ms > SKEW_MS:
        return Unfit(refuse("workload:early"), "", f"it begins in {ahead_ms} ms")
    if exp_ms - iat_ms > LIFETIME_MS_MAX:
        return Unfit(refuse("workload:lifetime"), "", "it is good for more than an hour")
    if iat_ms - SKEW_MS < since_ms:
        return Unfit(
            refuse("workload:forgotten"), "", "it is older than what is known of used tokens"
        )
    return exp_ms


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_CHARS_MAX and value.isprintable()


def _replay_key(token: SubjectToken, jti: JsonValue) -> bytes:
    """By issuer and `jti`, and without one by the token itself."""
    if isinstance(jti, str):
        names = [b"jti", jti.encode("utf-8")]
    else:
        names = [token.compact.signed, _once_signed(token)]
    parts = (b"workload", token.source.encode("utf-8"), *names)
    return jws.replay_key(*parts)


def _once_signed(token: SubjectToken) -> bytes:
    """What of the signature nobody else can change: of an ECDSA pair (r, s) anybody can make
    (r, -s), which is as good. With it, because two tokens of one second can say the same."""
    signature = token.compact.signature
    return signature[: len(signature) // 2] if token.algorithm.startswith("ES") else signature
