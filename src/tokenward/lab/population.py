"""Who are the honest holders of keys? Owners drawn at random, each with its own ways.

Where shares and rates come from: that most keys are used rarely, that a third have no history when
they start and that use is bursty is measured (ServeGen, arXiv 2505.09999); all that concerns
identity (programs, networks, prompts, how often they change) is assumption, because no public data
has it. See docs/explanation/evaluation.md.
"""

import random
from math import exp
from typing import Final

from msgspec.structs import replace

from tokenward.lab.catalogue import (
    BLOCKS,
    HARNESSES,
    MAKERS,
    chance,
    hashed,
    in_block,
    network,
    program,
)
from tokenward.lab.changes import CHANGES, TLS_INSPECTION, agent_job, chars_of, limit_of
from tokenward.lab.owner import Job, Owner, User

KINDS: Final = {"developer": 0.4, "app": 0.4, "public": 0.2}
DECLARED: Final = 0.6
"""The share of keys whose project says what they are for."""
SPREAD: Final = 0.8
"""Standard deviation of the logarithm of a key's own rate of change around its kind's mean."""
_COUNTRIES: Final = {
    "US": 0.35, "DE": 0.1, "GB": 0.1, "FR": 0.07, "IN": 0.12, "JP": 0.06,
    "BR": 0.05, "CA": 0.05, "NL": 0.03, "PL": 0.03, "AU": 0.02, "SG": 0.02,
}  # fmt: skip
_ACTIVE: Final = {
    "developer": (((0.9, 0.15), 0.5), ((0.3, 0.08), 0.35), ((0.07, 0.05), 0.15)),
    "app": (((1.0, 1.0), 0.5), ((1.0, 0.25), 0.25), ((0.15, 0.12), 0.25)),
    "public": (((1.0, 1.0), 0.7), ((0.5, 0.4), 0.15), ((0.1, 0.08), 0.15)),
}
"""Chances of use on a weekday and on a day of a weekend, and how many owners are like that."""
_SCRIPTS: Final = {"IN": "devanagari", "JP": "kana", "DE": "latin", "PL": "latin"}


def draw_owner(
    rng: random.Random, kind: str = "", models: tuple[str, ...] = (), program_family: str = ""
) -> Owner:
    """An owner. What is not given is drawn."""
    kind = kind or chance(rng, KINDS)
    country = chance(rng, _COUNTRIES)
    maker = rng.choice(MAKERS)
    models = models or tuple(rng.sample(maker[:3], rng.choice((1, 1, 2))))
    actives = _ACTIVE[kind]
    weekdays, weekends = rng.choices(
        [each for each, _ in actives], [share for _, share in actives]
    )[0]
    owner = Owner(
        rng=rng,
        kind=kind,
        country=country,
        users=[],
        models=models,
        weekdays=weekdays,
        weekends=weekends,
        rates=_rates(rng, kind),
        declares_models=kind != "developer" and rng.random() < 0.2,
    )
    if kind == "developer":
        _settle_developer(owner, program_family)
    else:
        _settle_service(owner, program_family)
    _give_oddities(owner)
    return owner


def _rates(rng: random.Random, kind: str) -> dict[str, float]:
    """The owner's own rates; "" is the chance that anything changes on a day of use."""
    mean = -SPREAD * SPREAD / 2  # so that the mean over owners is the kind's
    rates = {
        name: min(change.rate(kind) * exp(rng.gauss(mean, SPREAD)), 0.8)
        for name, change in CHANGES.items()
        if change.rate(kind)
    }
    nothing = 1.0
    for rate in rates.values():
        nothing *= 1 - rate
    return {"": 1 - nothing, **rates}


def _settle_developer(owner: Owner, family: str) -> None:
    """One person or, for one key in twelve, a team that shares it; at home, in an office or both;
    one agent user in three."""
    rng = owner.rng
    team = 1 if rng.random() < 11 / 12 else rng.randint(2, 4)
    office = network(rng, "office", owner.country)
    owner.renumbers = rng.choice((0.0, 0.02, 0.02, 0.2))
    for _ in range(team):
        home = network(rng, "residential", owner.country)
        places = rng.choice(([home], [home, office], [office], [home]))
        job = _job(owner, family)
        jobs = [job]
        if rng.random() < 0.35:  # notebooks, scripts, curl beside the SDK
            jobs.append(_job(owner, ""))
        if rng.random() < 1 / 3:
            jobs.append(agent_job(owner, rng.choice(HARNESSES)))
        owner.users.append(User(places=list(places), jobs=jobs, share=1.0 if team == 1 else 0.7))


def _settle_service(owner: Owner, family: str) -> None:
    """A deployment with one to three jobs of one program; one in four in two clouds or regions,
    three in five behind one address, some on functions that call from anywhere in their cloud;
    one in six with a build server or a staging system that has the key too."""
    rng = owner.rng
    places = [network(rng, "cloud", owner.country)]
    owner.blocks = rng.choices((1, rng.randint(3, 12), rng.randint(50, BLOCKS)), (0.6, 0.2, 0.2))[0]
    if rng.random() < 0.12:
        places[0] = network(rng, "office", owner.country)  # on premises
    if rng.random() < 0.25:
        places.append(network(rng, "cloud"))
    if rng.random() < 0.08:
        # Functions at the edge: the same number in every country.
        places += [in_block(places[0], 0, network(rng, "cloud").country) for _ in range(3)]
    first = _job(owner, family)
    first.is_templated = rng.random() < 0.12
    if rng.random() < 0.06:
        first.shots = (hashed("shot", rng.random()), hashed("shot", rng.random()))
    jobs = [first]
    for _ in range(rng.choice((0, 0, 1, 2) if owner.kind == "app" else (0, 0, 1))):
        job = _job(owner, first.client.family)
        job.client = first.client
        jobs.append(job)
    owner.users.append(User(places=places, jobs=jobs))
    if rng.random() < 1 / 6:
        builder = User(places=[network(rng, "cloud", "US")], jobs=[jobs[0]], share=0.5)
        owner.users.append(builder)


def _job(owner: Owner, family: str) -> Job:
    rng = owner.rng
    has_system = rng.random() < (0.6 if owner.kind == "developer" else 0.95)
    client = program(rng, family)
    routes = {"anthropic-python": "messages", "anthropic-node": "messages"}
    route = routes.get(client.family, "chat" if rng.random() < 0.8 else "responses")
    return Job(
        client=client,
        model=rng.choice(owner.models),
        route=route,
        system=f"{rng.getrandbits(64):016x}" if has_system else "",
        tools=f"{rng.getrandbits(64):016x}" if rng.random() < 0.3 else "",
        script=_SCRIPTS.get(owner.country, "latin") if rng.random() < 0.5 else "latin",
        output_limit=limit_of(owner),
        chars=chars_of(owner),
        spread=rng.choice((0.5, 1.0, 1.5)),
    )


def _give_oddities(owner: Owner) -> None:
    """What looks wrong and is not: a company that inspects TLS, a proxy with empty headers."""
    rng = owner.rng
    inspected = owner.kind == "developer" and rng.random() < 0.02
    emptied = owner.kind != "developer" and rng.random() < 0.01
    if not (inspected or emptied):
        return
    for user in owner.users:
        for job in user.jobs:
            if inspected:
                job.client = replace(
                    job.client,
                    fingerprint=hashed("inspected", job.client.fingerprint),
                    contradictions=(TLS_INSPECTION,),
                )
            else:
                job.client = replace(job.client, oddities=("the header Origin is there and empty",))
