"""`tokenward lab evaluate`: needs no settings, repeats itself, names what it does not know."""

from unit.cli.command import Shell


def test_an_evaluation_needs_no_settings_and_repeats_itself(shell: Shell) -> None:
    words = ("lab", "evaluate", "--story", "stolen_ci_key", "--story", "travel",
             "--seeds", "2", "--key-months", "5", "--seed", "3")  # fmt: skip
    value = shell.json(*words)
    assert value == shell.json(*words)
    assert [story["name"] for story in value["stories"]] == ["stolen_ci_key", "travel"]
    first = value["stories"][0]
    assert first["seeds"] == 2
    assert first["calls"] <= first["p95"]["calls"] <= first["max"]["calls"]
    assert set(first["baselines"]) == {"nothing", "cap", "new_network", "static_limit"}
    assert value["false_alarms"]["key_months"] == 5
    assert value["seed"] == 3


def test_a_screen_shows_a_table_and_says_that_it_is_simulated(shell: Shell) -> None:
    done = shell("lab", "evaluate", "--story", "hydra", "--story", "new_model",
                 "--seeds", "1", "--key-months", "2")  # fmt: skip
    assert done.status == 0
    assert "hydra" in done.out
    assert "OF 2 HONEST KEY-MONTHS" in done.out
    assert "simulated" in done.out
    assert done.err == ""


def test_an_unknown_story_names_the_nearest(shell: Shell) -> None:
    done = shell("lab", "evaluate", "--story", "public_rep")
    assert done.status == 2
    assert "did you mean 'public_repo'?" in done.err


def test_numbers_have_limits(shell: Shell) -> None:
    done = shell("lab", "evaluate", "--seeds", "0")
    assert done.status == 2
    assert "--seeds takes a number from 1 to 10,000" in done.err


def test_settings_that_are_named_and_not_there_are_told(shell: Shell) -> None:
    words = ("lab", "evaluate", "--story", "travel", "--seeds", "1", "--key-months", "0")
    assert shell(*words, "--config", str(shell.config)).status == 0, "it is not read"
    done = shell(*words, "--config", "nofile.toml", "--json")
    assert (done.status, done.error["code"]) == (1, "settings:missing")
    assert "There is no nofile.toml" in done.error["message"]
