"""The environment stands above the file."""

from pathlib import Path

import pytest

from tokenward.kernel.errors import SettingsError
from tokenward.settings import Settings, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokenward.toml"
    path.write_text("[server]\nport = 1111\n", "utf-8")
    return path


def problem(file: Path, environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as error:
        load(file, environ)
    return str(error.value)


def test_variables_override_the_file_and_the_defaults(file: Path) -> None:
    settings: Settings = load(
        file,
        {
            "TOKENWARD_SERVER__PORT": "2222",
            "TOKENWARD_SERVER__HOST": "::1",
            "TOKENWARD_SERVER__DRAIN_S": "1.5",
            "TOKENWARD_SERVER__KEYS_IN_QUERY": "true",
            "TOKENWARD_POLICY__MODE": "observe",
            "TOKENWARD_ADMIN__TOKEN": "env:MY_TOKEN",
            "TOKENWARD_ALERTS__WEBHOOK": "https://alerts.example.com/x",
        },
    )
    assert (settings.server.port, settings.server.host) == (2222, "::1")
    assert (settings.server.drain_s, settings.server.keys_in_query) == (1.5, True)
    assert settings.policy.mode == "observe"
    assert settings.admin.token == "env:MY_TOKEN"
    assert settings.alerts.webhook == "https://alerts.example.com/x"


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "TOKENWARD_CONFIG",
        "TOKENWARD_ADMIN_TOKEN",
        "TOKENWARD_PORT",
        "TOKENWARD_PORT_8080_TCP",
        "TOKENWARD_SERVICE_HOST",
        "XTOKENWARD_SERVER__PROT",
        "SERVER__PORT",
    ],
)
def test_variables_that_are_no_overrides_are_left_alone(file: Path, name: str) -> None:
    assert load(file, {name: "tcp://10.0.0.1"}).server.port == 1111


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("TOKENWARD_SERVER__PROT", "the nearest known one is TOKENWARD_SERVER__PORT"),
        ("TOKENWARD_SEVER__PORT", "the nearest known one is TOKENWARD_SERVER__PORT"),
        ("TOKENWARD___PORT", "the nearest known one is TOKENWARD_SERVER__PORT"),
        ("TOKENWARD_server__port", "the nearest known one is TOKENWARD_SERVER__PORT"),
        ("TOKENWARD_SERVER__TRUSTED_PROXIES", "set this one in the file"),
        ("TOKENWARD_PROVIDER__NAME", "set this one in the file"),
        ("TOKENWARD_PROVIDER__0__NAME", "set this one in the file"),
        ("TOKENWARD_PRICES__X", "set this one in the file"),
        ("TOKENWARD_STORE__RECORD", "the nearest known one is TOKENWARD_STORE__RECORDS"),
        ("TOKENWARD_PURPOSE__X", "not part of this version"),
    ],
)
def test_an_unknown_variable_is_an_error_that_shows_the_way(
    file: Path, name: str, part: str
) -> None:
    message = problem(file, {name: "canary"})
    assert message.startswith(f"Environment variable {name}: ")
    assert part in message
    assert "canary" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENWARD_SERVER__PORT", "canary"),
        ("TOKENWARD_SERVER__PORT", ""),
        ("TOKENWARD_SERVER__PORT", "65536"),
        ("TOKENWARD_SERVER__KEYS_IN_QUERY", "perhaps"),
        ("TOKENWARD_SERVER__DRAIN_S", "nan"),
        ("TOKENWARD_SERVER__HOST", ""),
        ("TOKENWARD_POLICY__MODE", "canary"),
        ("TOKENWARD_ADMIN__TOKEN", "canary"),
    ],
)
def test_a_value_that_cannot_work_is_an_error_that_never_repeats_it(
    file: Path, name: str, value: str
) -> None:
    message = problem(file, {name: value})
    section, _, setting = name.removeprefix("TOKENWARD_").lower().partition("__")
    assert name in message or f"{section}.{setting}" in message
    assert "canary" not in message
