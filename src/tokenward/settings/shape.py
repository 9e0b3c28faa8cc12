"""Every setting: its name, type, limits and default. `tokenward.example.toml` explains them."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tokenward.keys.families import Lifetimes

DAY_MS: Final = 86_400_000
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Text = Annotated[str, Meta(min_length=1, max_length=1_024)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=256)]
Share = Annotated[float, Meta(gt=0, le=1)]
Tokens = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML table."""


class Server(_Table, frozen=True, kw_only=True):
    """`[server]`: where the guard listens and how long it waits."""

    host: Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    data_dir: Text = "data"
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    drain_s: Seconds = 20
    hangup_drain_s: Seconds = 30
    # At most 20 minutes: as far as the bound looks for prices that change while a call runs.
    call_limit_s: Annotated[float, Meta(gt=0, le=1_200)] = 600
    max_body_mb: Annotated[int, Meta(ge=1, le=1_024)] = 32
    keys_in_query: bool = False
    trusted_proxies: Texts = ()
    client_address_header: Text = "x-forwarded-for"
    client_certificate_header: str = ""
    ja4_header: str = ""
    public_urls: Annotated[tuple[Text, ...], Meta(max_length=16)] = ()
    tls_certificate: Annotated[str, Meta(max_length=1_024)] = ""
    tls_key: Annotated[str, Meta(max_length=1_024)] = ""
    tls_client_ca: Texts = ()
    zone: Text = "UTC"


class Network(_Table, frozen=True, kw_only=True):
    """`[network]`: what tells networks apart; paths start at the folder of the settings."""

    country_db: Annotated[str, Meta(max_length=1_024)] = ""
    asn_db: Annotated[str, Meta(max_length=1_024)] = ""
    kind_db: Annotated[str, Meta(max_length=1_024)] = ""
    datacenters: Texts = ()
    vpns: Texts = ()
    tor: Texts = ()


class Store(_Table, frozen=True, kw_only=True):
    """`[store]`: where records and hot state are kept; "" is on this machine."""

    records: Annotated[str, Meta(max_length=1_024)] = ""
    hot: Annotated[str, Meta(max_length=1_024)] = ""
    hot_ca_file: Text | None = None


class Provider(_Table, frozen=True, kw_only=True):
    """`[[provider]]`: one place that calls may go to. `credential` is a reference."""

    name: Text
    dialect: Literal["openai", "anthropic", "gemini"]
    base_url: Text
    credential: Text
    models: Annotated[Texts, Meta(min_length=1)]
    prices_from: str = ""
    path_prefix: Annotated[str, Meta(max_length=256, pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = "/v1"
    service_tiers: (
        Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)] | None
    ) = None
    stored_objects: bool = False
    default_model: str = ""
    ca_file: Text | None = None
    allow_plain_http: bool = False


class PriceOverride(_Table, frozen=True, kw_only=True):
    """`[prices]`: what a model costs, in dollars, exact. `image_usd` is a picture made,
    `search_usd` a search; `context_tokens` and `max_output_tokens` are the model's own limits."""

    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None
    cache_write_1h_usd_per_mtok: Decimal | None = None
    input_audio_usd_per_mtok: Decimal | None = None
    output_audio_usd_per_mtok: Decimal | None = None
    output_image_usd_per_mtok: Decimal | None = None
    search_usd: Decimal | None = None
    image_usd: Decimal | None = None
    character_usd_per_mchar: Decimal | None = None
    audio_usd_per_hour: Decimal | None = None
    context_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None

    def amounts(self) -> dict[str, Decimal]:
        """The prices that are given, by name."""
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in values if isinstance(value, Decimal)}


class Binding(_Table, frozen=True, kw_only=True):
    """`[binding]`: what a proof must show."""

    require_nonce: bool = True


class Keys(_Table, frozen=True, kw_only=True):
    """`[keys]`: what a key gets that says nothing about it."""

    bearer_cap: Annotated[str, Meta(max_length=64)] = "10.00/day"


class Oauth(_Table, frozen=True, kw_only=True):
    """`[oauth]`: how long tokens are good. An access token at most an hour."""

    access_token_s: Annotated[int, Meta(ge=10, le=3_600)] = 300
    refresh_days: Annotated[int, Meta(ge=1, le=366)] = 30
    refresh_end_days: Annotated[int, Meta(ge=1, le=3_660)] = 180
    refresh_grace_s: Annotated[int, Meta(ge=0, le=30)] = 0

    @property
    def lifetimes(self) -> Lifetimes:
        """The same in milliseconds."""
        return Lifetimes(
            access_ms=self.access_token_s * 1_000,
            idle_ms=self.refresh_days * DAY_MS,
            family_ms=self.refresh_end_days * DAY_MS,
            grace_ms=self.refresh_grace_s * 1_000,
        )


class Workload(_Table, frozen=True, kw_only=True):
    """`[[workload]]`: whose token of another issuer stands for which key."""

    name: Text
    kind: Literal["github", "spiffe", "oidc"]
    key: Text
    issuer: str = ""
    audience: str = ""
    repository_id: str = ""
    repository_owner_id: str = ""
    ref: str = ""
    environment: str = ""
    job_workflow_ref: str = ""
    pull_requests: bool = False
    subject: str = ""
    jwks_uri: str = ""
    algorithms: Texts = ()
    ca_file: Text | None = None
    allow_plain_http: bool = False


class PolicyProject(_Table, frozen=True, kw_only=True):
    """`[policy.project.NAME]`: what its keys are for, and whether evidence acts on them."""

    mode: Literal["", "enforce", "observe"] = ""
    kind: Literal["", "developer", "app", "public"] = ""
    hold_dearer_models: bool | None = None


class Policy(_Table, frozen=True, kw_only=True):
    """`[policy]`: what evidence of theft may do. Keys, limits and caps always act. The rates are
    the false alarms that are accepted, a key and month."""

    mode: Literal["enforce", "observe"] = "enforce"
    false_challenges_per_key_month: Annotated[float, Meta(ge=1e-6, le=1)] = 0.01
    false_freezes_per_key_month: Annotated[float, Meta(ge=1e-6, le=1)] = 0.001
    suspect_calls_per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] = 30
    hold_dearer_models: bool = True
    project: dict[str, PolicyProject] = {}


class Alerts(_Table, frozen=True, kw_only=True):
    """`[alerts]`: who hears of a cap that fills."""

    webhook: Text | None = None
    thresholds: Annotated[tuple[Share, ...], Meta(max_length=16)] = (0.5, 0.8, 1.0)


class Admin(_Table, frozen=True, kw_only=True):
    """`[admin]`: the token of the admin API, as a reference; without it no guard starts."""

    token: Text | None = None


class Ledger(_Table, frozen=True, kw_only=True):
    """`[ledger]`: how long money may be held, and how much may wait for it."""

    hold_ttl_s: Annotated[float, Meta(gt=0, le=43_200)] = 900
    throttle_wait_s: Seconds = 30
    commit_limit_s: Annotated[float, Meta(ge=0.05, le=60)] = 0.75
    exact_counts: bool = False


class Records(_Table, frozen=True, kw_only=True):
    """`[records]`: how long the record of a request is kept."""

    keep_days: Annotated[int, Meta(ge=1, le=3_660)] = 90


class Written(_Table, frozen=True, kw_only=True):
    """All that can stand in the file."""

    server: Server = Server()
    store: Store = Store()
    providers: Annotated[tuple[Provider, ...], Meta(max_length=256)] = msgspec.field(
        name="provider", default=()
    )
    prices: dict[str, PriceOverride] = {}
    binding: Binding = Binding()
    keys: Keys = Keys()
    oauth: Oauth = Oauth()
    workloads: Annotated[tuple[Workload, ...], Meta(max_length=256)] = msgspec.field(
        name="workload", default=()
    )
    network: Network = Network()
    policy: Policy = Policy()
    alerts: Alerts = Alerts()
    admin: Admin = Admin()
    ledger: Ledger = Ledger()
    records: Records = Records()


class Settings(Written, frozen=True, kw_only=True):
    """What was written, and the file it was written in."""

    path: Path

    @property
    def base_dir(self) -> Path:
        """Relative paths in the file start here: the file's own folder."""
        return self.path.parent

    @property
    def data_dir(self) -> Path:
        """Where records and secrets are kept."""
        return self.base_dir / self.server.data_dir
