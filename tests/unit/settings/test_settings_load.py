"""From a file and the environment to settings, or to an error that says what to do."""

from decimal import Decimal
from pathlib import Path

import pytest

from tokenward.kernel.errors import SettingsError
from tokenward.settings import Settings, load
from tokenward.settings.shape import Written

PROVIDER = """
[[provider]]
name = "openai"
dialect = "openai"
base_url = "https://api.openai.com"
credential = "env:OPENAI_API_KEY"
models = ["gpt-*"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokenward.toml"


def loaded(file: Path, text: str, **environ: str) -> Settings:
    file.write_text(text, "utf-8")
    return load(file, environ)


def problem(file: Path, text: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as error:
        loaded(file, text, **environ)
    return str(error.value)


def test_an_empty_file_gives_every_default(file: Path) -> None:
    settings = loaded(file, "")
    for name in Written.__struct_fields__:
        assert getattr(settings, name) == getattr(Written(), name)


def test_the_defaults_are_safe(file: Path) -> None:
    settings = loaded(file, "")
    assert settings.server.host == "127.0.0.1"
    assert settings.server.trusted_proxies == ()
    assert settings.server.keys_in_query is False
    assert settings.policy.mode == "enforce"
    assert settings.admin.token is None
    assert settings.providers == ()


def test_the_documented_settings_are_read(file: Path) -> None:
    settings = loaded(
        file,
        PROVIDER
        + """
        prices_from = "openai"
        service_tiers = ["", "flex"]
        ca_file = "ca.pem"
        [server]
        host = "0.0.0.0"
        port = 9000
        data_dir = "state"
        drain_s = 0.5
        trusted_proxies = ["10.0.0.5", "2001:db8::/64"]
        zone = "Pacific/Auckland"
        [prices]
        "my-model" = { input_usd_per_mtok = 0.10, output_usd_per_mtok = "0.40", search_usd = 1 }
        [policy]
        mode = "observe"
        [alerts]
        webhook = "https://alerts.example.com/x?y=z"
        thresholds = [0.25, 1]
        [admin]
        token = "file:data/admin.token"
        """,
    )
    assert settings.server.port == 9000
    assert settings.server.drain_s == 0.5
    assert settings.providers[0].service_tiers == ("", "flex")
    assert settings.prices["my-model"].amounts() == {
        "input_usd_per_mtok": Decimal("0.1"),
        "output_usd_per_mtok": Decimal("0.4"),
        "search_usd": Decimal(1),
    }
    assert settings.policy.mode == "observe"
    assert settings.alerts.thresholds == (0.25, 1.0)
    assert settings.admin.token == "file:data/admin.token"


def test_prices_are_exact_decimals(file: Path) -> None:
    text = "[prices]\nm = { input_usd_per_mtok = 0.07, output_usd_per_mtok = 1e-3 }"
    price = loaded(file, text).prices["m"]
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok) == (
        Decimal("0.07"),
        Decimal("0.001"),
    )


def test_settings_never_change(file: Path) -> None:
    settings = loaded(file, PROVIDER)
    for target in (settings, settings.server, settings.providers[0]):
        with pytest.raises(AttributeError):
            target.port = 1  # type: ignore[union-attr]


def test_relative_paths_start_at_the_file(file: Path) -> None:
    settings = loaded(file, '[server]\ndata_dir = "state"')
    assert settings.path == file
    assert settings.base_dir == file.parent
    assert settings.data_dir == file.parent / "state"
    assert loaded(file, '[server]\ndata_dir = "/var/state"').data_dir == Path("/var/state")


# Files that cannot be used


def test_a_missing_file_says_how_to_write_one(file: Path) -> None:
    with pytest.raises(SettingsError, match="tokenward init") as error:
        load(file, {})
    assert str(file) in str(error.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"[server", "is not TOML"),
        (b"a = 1\na = 2", "is not TOML"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"a = \x00", "is not TOML"),
        (b"#" * 1_000_001, "longer than"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"9" * 5_000, "is not TOML: Exceeds the limit"),
    ],
)
def test_what_is_not_toml_is_an_error(file: Path, content: bytes, part: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=part):
        load(file, {})


# Names


@pytest.mark.parametrize(
    ("text", "wrong", "nearest"),
    [
        ("[server]\nprot = 1", "server.prot", "server.port"),
        ("[server]\ntrusted_proxy = []", "server.trusted_proxy", "server.trusted_proxies"),
        ("port = 1", "port", "server.port"),
        ("[sever]\nport = 1", "sever", "server"),
        ("[[provider]]\nmodles = []", "provider[0].modles", "provider[0].models"),
        (PROVIDER + PROVIDER + "url = 1", "provider[1].url", "provider.base_url"),
        (
            "[prices.m]\ninput_usd_mtok = 1",
            'prices."m".input_usd_mtok',
            'prices."m".input_usd_per_mtok',
        ),
        ("[admin]\ntokn = 1", "admin.tokn", "admin.token"),
        ("[project.x]\nkind = 'app'", "project", "policy.project"),
        ("[ledger]\nzzz = 1", "ledger.zzz", "ledger."),
    ],
)
def test_an_unknown_setting_names_the_file_itself_and_the_nearest(
    file: Path, text: str, wrong: str, nearest: str
) -> None:
    message = problem(file, text)
    assert message.startswith(f"tokenward.toml: unknown setting {wrong}; ")
    assert f"the nearest known one is {nearest}" in message


def test_the_file_may_not_set_what_only_the_program_knows(file: Path) -> None:
    assert "unknown setting path" in problem(file, 'path = "x"')
    assert "unknown setting providers" in problem(file, "providers = []")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[purpose.support]\ndescription = ''", "not part of this version"),
    ],
)
def test_what_comes_later_is_refused_plainly(file: Path, text: str, part: str) -> None:
    assert part in problem(file, text)


# Types and values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server = 3", "server: must be a table, written [server], not 3"),
        ("provider = 3", "provider: must be a list of tables, each written [[provider]], not 3"),
        (
            "[server]\nport = '80'",
            "server.port: must be a whole number from 0 to 65,535, not text: leave out the quotes",
        ),
        (
            "[server]\nport = 65536",
            "server.port: must be a whole number from 0 to 65,535, not 65,536",
        ),
        ("[server]\nport = -1", "server.port: must be a whole number from 0 to 65,535, not -1"),
        ("[server]\nport = 1.5", "65,535, not 1.5"),
        ("[server]\nport = true", "65,535, not true"),
        ("[server]\nhost = ''", "server.host: must not be empty"),
        ("[server]\nkeys_in_query = 1", "server.keys_in_query: must be true or false, not 1"),
        (
            "[server]\nmax_body_mb = 0",
            "server.max_body_mb: must be a whole number from 1 to 1,024, not 0",
        ),
        (
            "[server]\ncall_limit_s = 0",
            "server.call_limit_s: must be a number above 0 to 1,200, not 0",
        ),
        ("[server]\ncall_limit_s = nan", "above 0 to 1,200, not nan"),
        ("[server]\ncall_limit_s = inf", "above 0 to 1,200, not inf"),
        ("[server]\ntrusted_proxies = ['10.0.0.0/40']", "server.trusted_proxies: '10.0.0.0/40'"),
        ("[server]\nclient_address_header = 'forwarded'", "server.client_address_header: must be"),
        ("[server]\nclient_address_header = 'a b'", "server.client_address_header: must be"),
        ("[server]\nzone = 'Mars/Base'", "server.zone: 'Mars/Base' is not a time zone"),
        ("[server]\nzone = '../../etc/passwd'", "server.zone: "),
        ("[policy]\nmode = 'off'", "policy.mode: must be one of enforce, observe"),
        (
            "[alerts]\nthresholds = [0]",
            "alerts.thresholds[0]: must be a number above 0 to 1 (0.01 is 1 %), not 0",
        ),
        ("[alerts]\nthresholds = [1.01]", "(0.01 is 1 %), not 1.01"),
        (
            "[records]\nkeep_days = 0",
            "records.keep_days: must be a whole number from 1 to 3,660, not 0",
        ),
        ("[[provider]]\nname = 'a'", "provider[0]: missing the setting dialect"),
        (PROVIDER.replace('"openai"\nbase', '"cohere"\nbase'), "provider[0].dialect: must be one"),
        (PROVIDER.replace('["gpt-*"]', "[]"), "provider[0].models: must not be empty"),
        (PROVIDER.replace('["gpt-*"]', '["a b"]'), "provider[0].models: a pattern is"),
        (PROVIDER.replace('name = "openai"', 'name = "a b"'), "provider[0].name: 'a b' cannot be"),
        (PROVIDER + PROVIDER, "provider: two are named 'openai'"),
        (
            "[prices.m]\ninput_usd_per_mtok = 1",
            'prices."m": missing the setting output_usd_per_mtok',
        ),
    ],
)
def test_an_impossible_value_names_the_setting(file: Path, text: str, message: str) -> None:
    assert problem(file, text).startswith("tokenward.toml: ")
    assert message in problem(file, text)


def test_stored_objects_and_a_default_model_are_off_and_of_one_provider(file: Path) -> None:
    plain = loaded(file, PROVIDER).providers[0]
    assert (plain.stored_objects, plain.default_model) == (False, "")
    shared = PROVIDER + 'stored_objects = true\ndefault_model = "gpt-5"\n'
    provider = loaded(file, shared).providers[0]
    assert (provider.stored_objects, provider.default_model) == (True, "gpt-5")
    loaded(file, shared + PROVIDER.replace('name = "openai"', 'name = "other"'))
    for setting in ("stored_objects = true", 'default_model = "gpt-5"'):
        name = setting.split()[0]
        two = shared + PROVIDER.replace('name = "openai"', 'name = "other"') + setting
        assert f"provider[1].{name}: 'openai' has it already" in problem(file, two)
        claude = PROVIDER.replace('dialect = "openai"', 'dialect = "anthropic"') + setting
        assert f"provider[0].{name}: only the openai dialect" in problem(file, claude)
    unserved = PROVIDER + 'default_model = "claude-haiku-4-5"'
    assert "provider[0].default_model: must be one" in problem(file, unserved)


@pytest.mark.parametrize("amount", ["-0.01", "nan", "inf", "1000001", "'1e9'", "'NaN'", "'free'"])
def test_a_price_is_dollars_from_nothing_to_a_million(file: Path, amount: str) -> None:
    text = f"[prices.m]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = {amount}"
    assert "output_usd_per_mtok: " in problem(file, text)


def test_a_hold_must_outlive_the_longest_call(file: Path) -> None:
    text = (
        "[server]\ncall_limit_s = 100\nhangup_drain_s = 20\ndrain_s = 10\n[ledger]\nhold_ttl_s = "
    )
    assert "ledger.hold_ttl_s: 130 s is too short" in problem(file, text + "130")
    assert loaded(file, text + "131").ledger.hold_ttl_s == 131


# Secrets stay out of the file and out of errors


@pytest.mark.req("K-3")
@pytest.mark.parametrize("literal", ["sk-proj-canary", "env:", "env:A B", "file:", "NONE", "none "])
def test_a_secret_written_out_is_refused_and_never_repeated(file: Path, literal: str) -> None:
    for text, where in [
        (PROVIDER.replace("env:OPENAI_API_KEY", literal), "provider[0].credential"),
        (f'[admin]\ntoken = "{literal}"', "admin.token"),
    ]:
        message = problem(file, text)
        assert message.startswith(f"tokenward.toml: {where} is not a reference")
        assert "canary" not in message
        assert "env:NAME" in message


def test_a_secret_manager_that_comes_later_is_refused_plainly(file: Path) -> None:
    text = PROVIDER.replace("env:OPENAI_API_KEY", "vault:kv/canary")
    assert "not part of this version" in problem(file, text)
    assert "canary" not in problem(file, text)


def test_loading_needs_no_secret(file: Path) -> None:
    assert loaded(file, PROVIDER).providers[0].credential == "env:OPENAI_API_KEY"


@pytest.mark.req("S-6")
def test_a_mistaken_url_is_named_but_never_repeated(file: Path) -> None:
    url = "https://user:canary@api.openai.com"
    message = problem(file, PROVIDER.replace("https://api.openai.com", url))
    assert message.startswith("tokenward.toml: provider[0].base_url must not hold a user")
    assert "canary" not in message
    message = problem(file, f'[alerts]\nwebhook = "{url}"')
    assert message.startswith("tokenward.toml: alerts.webhook must not hold a user")
    assert "canary" not in message


@pytest.mark.req("S-6")
def test_plain_http_to_a_far_host_must_be_allowed_by_name(file: Path) -> None:
    text = PROVIDER.replace("https://api.openai.com", "http://gpu.example.com:8000")
    assert "allow_plain_http = true" in problem(file, text)
    assert loaded(file, text + "allow_plain_http = true").providers[0].allow_plain_http


@pytest.mark.req("S-6")
def test_nothing_allows_a_metadata_address(file: Path) -> None:
    text = PROVIDER.replace("https://api.openai.com", "http://169.254.169.254/latest")
    assert "never sent to" in problem(file, text + "allow_plain_http = true")


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://a.example/deep/v1/"])
def test_a_base_url_that_repeats_the_callers_path_is_refused(file: Path, url: str) -> None:
    text = PROVIDER.replace("https://api.openai.com", url)
    message = problem(file, text)
    assert message.startswith("tokenward.toml: provider[0].base_url: leave out the /v1")
    assert loaded(file, text + 'path_prefix = ""').providers[0].base_url == url
