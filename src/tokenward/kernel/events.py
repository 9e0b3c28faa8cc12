"""One dense record a request, and the events people and pagers hear of."""

import msgspec


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What happened to one request; always written, also for refusals. Never prompts or answers.

    Times are Unix milliseconds (`ts`) and milliseconds; `guard_us` is the guard's own time in
    microseconds, without the provider. `*_nusd` are nano-dollars. Design section 9.
    """

    ts: int
    request_id: str
    account: str = ""
    project: str = ""
    key: str = ""
    dialect: str = ""
    route: str = ""
    provider: str = ""
    model: str = ""
    model_answered: str = ""
    stream: bool = False
    client_ip: str = ""
    user_agent: str = ""
    proof_kind: str = ""
    proof_thumbprint: str = ""
    client: str = ""
    client_fingerprint: str = ""
    country: str = ""
    network: str = ""
    network_kind: str = ""
    system_hash: str = ""
    tools_hash: str = ""
    prefix_hash: str = ""
    script: str = ""
    unknown_signals: tuple[str, ...] = ()
    log_e: float = 0.0
    evidence: tuple[str, ...] = ()
    would: str = ""
    incident: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    max_tokens: int | None = None
    service_tier: str = ""
    held_nusd: int = 0
    cost_nusd: int = 0
    is_estimate: bool = False
    doubts: tuple[str, ...] = ()
    status: int = 0
    provider_status: int | None = None
    provider_request_id: str = ""
    outcome: str = ""
    ttft_ms: int | None = None
    total_ms: int = 0
    guard_us: int = 0
    verdict: str = ""
    refusal: str = ""
    fault: str = ""


class Event(msgspec.Struct, kw_only=True, frozen=True):
    """Something an operator may want to hear of. `kind` is `subject:action`.

    Kinds of the ledger: `cap:threshold`, `ledger:overrun`, `hold:expired`, `usage:doubt`.
    Kinds of the keys: `key:created`, `key:frozen`, `key:unfrozen`, `key:revoked`, `key:rotated`,
    `key:enrolled` (its holder is known), `key:offered` (a new code), `key:misused` (evidence E1),
    `key:ending` (a live key ends within a week, or a day).
    Kinds of tokens: `family:revoked` (refresh tokens and what they gave out), `token:revoked`.
    Of all of them: `incident:opened`, `incident:undone` (it was a false alarm),
    `incident:confirmed`, `records:restored` (a backup was put back and accepted).
    """

    ts: int
    kind: str
    subject: str
    facts: dict[str, str | int | None]
