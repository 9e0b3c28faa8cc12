"""Workload identity: from a platform's token to the key whose caps and caveats apply (RFC 8693)."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from tokenward.binding.interfaces import ReplayStore
from tokenward.http.oauth.issuers import Issuer
from tokenward.kernel.errors import IssuerError
from tokenward.kernel.refusals import Refusal
from tokenward.keys.workload import (
    REPLAYED,
    SubjectToken,
    Unfit,
    Workload,
    identify,
    read_subject_token,
    refuse,
    rules_for,
)
from tokenward.keys.workload_rules import Rule

TOLD_EVERY_MS: Final = 60_000
UNAVAILABLE: Final = Refusal(
    "issuer:unavailable",
    503,
    "The guard cannot fetch the public keys of the token's issuer right now, so it cannot know "
    "whether the token is good. Nothing was given and the token is not used up; try again in a "
    "moment.",
    should_retry=True,
    retry_after_s=5,
)

log = logging.getLogger("tokenward.workloads")


class Workloads:
    """The rules of the settings and their issuers (by `Rule.source`). `audience` says how the
    guard names itself, for rules that name no audience."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        issuers: Mapping[str, Issuer],
        replays: ReplayStore,
        audience: Callable[[], str],
    ) -> None:
        assert all(rule.source in issuers for rule in rules), "each rule's issuer is pinned"
        self._rules = rules
        self._issuers = issuers
        self._replays = replays
        self._audience = audience
        self._told_ms: dict[tuple[str, str], int] = {}

    async def verify(
        self, subject_token: str, subject_token_type: str, now_ms: int
    ) -> Workload | Refusal:
        """Who is it? A token that is good is used up by asking.

        Costs one signature verification, and a fetch where the issuer's keys are not known yet.
        Raises `StoreError` when it cannot know whether the token was used.
        """
        token = read_subject_token(subject_token, subject_token_type)
        if isinstance(token, Refusal):
            return token
        rules = rules_for(token, self._rules)
        if isinstance(rules, Refusal):
            return rules
        try:
            refusal = await self._check_signature(token)
        except IssuerError:
            return UNAVAILABLE
        if refusal is not None:
            return refusal
        since_ms = self._replays.epoch.since_ms
        found = identify(token, rules, self._audience(), now_ms, since_ms)
        if isinstance(found, Unfit):
            self._tell(found, token.source, now_ms)
            return found.refusal
        is_first = await self._replays.claim(found.replay_key, found.until_ms, since_ms)
        if not is_first:
            self._tell(Unfit(REPLAYED, found.rule, "it was used before"), token.source, now_ms)
        return found if is_first else REPLAYED

    async def close(self) -> None:
        """Let go of the issuers."""
        for issuer in self._issuers.values():
            await issuer.close()

    async def _check_signature(self, token: SubjectToken) -> Refusal | None:
        key = await self._issuers[token.source].key(token.kid)
        signed, signature = token.compact.signed, token.compact.signature
        is_good = key is not None and key.verify(token.algorithm, signed, signature)
        return None if is_good else refuse("workload:signature")

    def _tell(self, unfit: Unfit, source: str, now_ms: int) -> None:
        """The operator alone hears what did not fit, of tokens that the issuer has signed; once a
        minute of each rule and reason, because anybody can have GitHub sign one."""
        what = (unfit.rule, unfit.refusal.code)
        if now_ms - self._told_ms.get(what, -TOLD_EVERY_MS) < TOLD_EVERY_MS:
            return
        self._told_ms[what] = now_ms
        rule = f"the nearest rule is {unfit.rule}: " if unfit.rule else ""
        log.warning(
            "tokenward: a token of %s was refused (%s): %s%s",
            source, unfit.refusal.code, rule, unfit.why,
        )  # fmt: skip
