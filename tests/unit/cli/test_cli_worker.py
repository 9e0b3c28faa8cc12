"""What a worker is started with comes to it as it was, secrets and all left where they are."""

from pathlib import Path

from tokenward.cli.worker import WorkOrder, read_order
from tokenward.settings import load

SETTINGS = """
[server]
workers = 3

[[provider]]
name = "openai"
dialect = "openai"
base_url = "https://api.openai.com"
credential = "env:OPENAI_API_KEY"
models = ["gpt-*"]

[prices."openai/own"]
input_usd_per_mtok = 0.10
output_usd_per_mtok = 3

[[workload]]
name = "ci"
kind = "github"
key = "Ivzp2jZPG2V3"
repository_id = "1"
repository_owner_id = "2"
audience = "https://guard.example"
"""


def test_an_order_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tokenward.toml"
    path.write_text(SETTINGS, "utf-8")
    settings = load(path, {"TOKENWARD_SERVER__PORT": "0"})
    order = WorkOrder(settings=settings, instance="w1", link=7, listening=(8, 9))
    assert read_order(order.written()) == order
    assert read_order(order.written()).settings.data_dir == tmp_path / "data"
