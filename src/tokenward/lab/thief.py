"""What the thief of a story sends: a plan of calls, made once, whatever is done about them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp
from typing import Final

from tokenward.kernel.signals import Asked, Client, Content, Network, Signals
from tokenward.lab.catalogue import HARNESSES, LEVELS, network, program
from tokenward.lab.owner import Owner
from tokenward.lab.stories.story import Step, Story

PLAN_MAX: Final = 5_000
UNSURE: Final = frozenset(("greeting", "sample"))
"""Probes that people send by chance too (`signals.probes`)."""


@dataclass(frozen=True, slots=True)
class Theft:
    """One call of the thief: on the key with the number `key`, for `cost_nusd` if it passes."""

    key: int
    call: Signals
    cost_nusd: int
    is_probe: bool


@dataclass(slots=True)
class _Look:
    """What a step's calls look like, drawn once."""

    client: Client
    networks: list[Network]
    models: list[str]
    systems: list[str]
    tools: str
    harness: str
    probe: str


def plan_theft(story: Story, owner: Owner, rng: random.Random, start_ms: int) -> list[Theft]:
    """All calls that the thief wants to make, in order of time."""
    plan: list[Theft] = []
    at = float(start_ms)
    look: _Look | None = None
    for step in story.steps:
        at += 1_000 * rng.uniform(*step.after_s)
        look = _draw(step, owner, rng, look)
        gap_ms = 60_000 / step.per_minute
        cost_nusd = round(step.cost_usd * 1e9)
        for turn in range(min(step.calls, PLAN_MAX)):
            call = _call(step, look, owner, rng, int(at), turn)
            plan.append(Theft(len(plan) % story.key.keys, call, cost_nusd, step.is_probe))
            at += gap_ms
    return plan[:PLAN_MAX]


def _draw(step: Step, owner: Owner, rng: random.Random, before: _Look | None) -> _Look:
    job = owner.users[0].jobs[0]
    family = rng.choice(step.programs)
    if family == "before" and before is not None:
        client = before.client
    elif family == "same":
        client = job.client
    elif family == "family":
        client = program(rng, job.client.family)
    else:
        client = program(rng, family, 0 if family in HARNESSES else None)
    if step.contradictions or step.oddities:
        client = Client(
            family=client.family,
            claimed=client.claimed,
            fingerprint=client.fingerprint,
            contradictions=step.contradictions,
            oddities=step.oddities,
        )
    models = [job.model if each == "same" else each for each in step.models]
    if step.prompts < 0:
        systems = [job.system]
    else:
        systems = [_hash(rng) for _ in range(step.prompts)] or [""]
    tools = {"same": job.tools, "own": _hash(rng)}.get(step.tools, "")
    return _Look(
        client=client,
        networks=list(_networks(step, owner, rng, before)),
        models=models if step.each_model else [rng.choice(models)],
        systems=systems,
        tools=tools,
        harness=family if step.harness == "program" else step.harness,
        probe=rng.choice(step.probes) if step.probes else "",
    )


def _networks(
    step: Step, owner: Owner, rng: random.Random, before: _Look | None
) -> Iterator[Network]:
    kind = rng.choice(step.networks)
    if kind == "before" and before is not None:
        yield from before.networks
        return
    home = owner.users[0].places[0]
    for _ in range(max(step.addresses, 1)):
        if kind == "same":
            yield home
            continue
        made = network(rng, kind, owner.country if step.country == "same" else "")
        while step.country == "abroad" and made.country == owner.country:
            made = network(rng, kind)
        yield made


def _call(
    step: Step, look: _Look, owner: Owner, rng: random.Random, at_ms: int, turn: int
) -> Signals:
    system = look.systems[turn % len(look.systems)]
    model = look.models[turn % len(look.models)]
    job = owner.users[0].jobs[0]
    content = Content(
        system=system,
        tools=look.tools,
        root=_hash(rng),
        prefix=system,
        script=job.script if step.prompts < 0 else "latin",
        probe=look.probe,
        is_sure=bool(look.probe) and look.probe not in UNSURE,
        harness=look.harness,
        answers=(_hash(rng), _hash(rng)) if rng.random() < step.foreign else (),
        size=80 if step.is_probe else 1 + int(step.chars * exp(rng.gauss(0, 0.5))),
    )
    return Signals(
        at_ms=at_ms,
        client=look.client,
        network=look.networks[turn % len(look.networks)],
        content=content,
        asked=Asked(
            model=model,
            level=LEVELS.get(model),
            is_declared=owner.declares_models and model in owner.models,
            route=job.route if "same" in step.programs else _route(look.client.family),
            output_limit=0 if look.probe == "no_output" else step.output_limit,
            stream=not step.is_probe,
        ),
    )


def _route(family: str) -> str:
    if family.startswith("anthropic") or family == "claude-code":
        return "messages"
    return "responses" if family in ("codex", "opencode") else "chat"


def _hash(rng: random.Random) -> str:
    return f"{rng.getrandbits(64):016x}"
