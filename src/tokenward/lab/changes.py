"""What honest owners do differently from one day to the next, and how often.

Rates are chances on a day of use, as means over keys; each key has its own, log-normal around the
mean (`population.SPREAD`), so that no one model of owners is right for all. They are assumptions,
made from what engineers do (moves of a deployment once in two or three years, a new model some
times a year, a developer in a new network every few weeks), and made without a look at the rates
that the detectors assume: no public data set tells how often the holder of an LLM key changes.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from msgspec.structs import replace as altered

from tokenward.kernel.signals import Content
from tokenward.lab.catalogue import (
    BLOCKS,
    COUNTRIES,
    HARNESSES,
    hashed,
    in_block,
    maker_of,
    network,
    program,
)
from tokenward.lab.owner import Job, Owner, User

TLS_INSPECTION: Final = "the cipher list is not the one of the program that the header names"


def fresh(owner: Owner) -> str:
    """A hash that nobody has had before."""
    return f"{owner.rng.getrandbits(64):016x}"


def _user(owner: Owner) -> User:
    return owner.users[0] if len(owner.users) == 1 else owner.rng.choice(owner.users)


def _job(owner: Owner) -> Job:
    return owner.rng.choice(_user(owner).jobs)


def _abroad(owner: Owner) -> str:
    return owner.rng.choice([each for each in COUNTRIES if each != owner.country])


def new_network(owner: Owner, day: int) -> None:
    """A café, a telephone's hotspot, a friend's home, a VPN: for a day."""
    user, rng = _user(owner), owner.rng
    kind = rng.choices(("residential", "office", "vpn"), (0.75, 0.1, 0.15))[0]
    country = _abroad(owner) if kind == "vpn" and rng.random() < 0.4 else owner.country
    user.away, user.back = network(rng, kind, country), day + 1


def travel(owner: Owner, day: int) -> None:
    """Days in a hotel, seven times in ten abroad."""
    user, rng = _user(owner), owner.rng
    country = _abroad(owner) if rng.random() < 0.7 else owner.country
    user.away = network(rng, rng.choice(("residential", "office")), country)
    user.back = day + rng.randint(2, 7)


def move(owner: Owner, day: int) -> None:
    """The deployment moves to another cloud or region for good; a developer to another home."""
    user, rng = owner.users[0], owner.rng
    kind = "residential" if owner.kind == "developer" else "cloud"
    country = owner.country if rng.random() < 0.6 else _abroad(owner)
    user.places[rng.randrange(len(user.places))] = network(rng, kind, country)


def new_region(owner: Owner, day: int) -> None:
    """A second deployment beside the first, half the time in another cloud; within one cloud the
    number of the network stays."""
    user, rng = owner.users[0], owner.rng
    if rng.random() < 0.5:
        user.places.append(in_block(user.places[0], rng.randrange(BLOCKS), _abroad(owner)))
    else:
        user.places.append(network(rng, "cloud", _abroad(owner)))


def at_the_desk(owner: Owner, day: int) -> None:
    """A developer runs the application on the own machine for a day."""
    user, rng = owner.users[0], owner.rng
    kind = rng.choice(("residential", "office"))
    user.away, user.back = network(rng, kind, owner.country), day + 1
    if rng.random() < 0.4:  # another operating system
        _new_variant(owner, user)


def _new_variant(owner: Owner, user: User) -> None:
    made: dict[str, object] = {}
    for job in user.jobs:
        client = made.setdefault(job.client.family, program(owner.rng, job.client.family))
        job.client = client  # type: ignore[assignment]  # the values are programs


def new_machine(owner: Owner, day: int) -> None:
    """The same programs on another system: other fingerprints of the same families."""
    _new_variant(owner, _user(owner))


def sdk_upgrade(owner: Owner, day: int) -> None:
    """A newer version of the same SDK: the fingerprint lasts, but for one upgrade in thirty."""
    user = _user(owner)
    if owner.rng.random() < 1 / 30:
        _new_variant(owner, user)


def new_program(owner: Owner, day: int) -> None:
    """A rewrite in another language, a second tool: one job has another program from now on."""
    job = _job(owner)
    job.client = program(owner.rng)
    job.harness = ""
    if owner.rng.random() < 0.4:
        job.output_limit = limit_of(owner)


def new_agent(owner: Owner, day: int) -> None:
    """A developer takes up a coding agent."""
    user, name = _user(owner), owner.rng.choice(HARNESSES)
    user.jobs.append(agent_job(owner, name))


def agent_job(owner: Owner, name: str) -> Job:
    """A coding agent at work, with the owner's models."""
    return Job(
        client=program(owner.rng, name, 0),
        model=owner.rng.choice(owner.models),
        route="messages" if name == "claude-code" else "responses",
        system=hashed("agent", name),
        tools=hashed("agent tools", name),
        harness=name,
        output_limit=32_000,
        chars=60_000,
    )


def new_model(owner: Owner, day: int) -> None:
    """One job tries or takes another model of the same maker."""
    job = _job(owner)
    maker = maker_of(job.model)
    others = [model for model in maker if model != job.model]
    if others:
        job.model = owner.rng.choice(others)


def compare_models(owner: Owner, day: int) -> None:
    """Somebody tries all the maker's models in a row with one prompt."""
    job = _job(owner)
    maker = maker_of(job.model)
    for model in maker:
        tried = replace(job, model=model)
        owner.extra.append((tried, Content(system=job.system, root=fresh(owner), size=job.chars)))


def new_prompt(owner: Owner, day: int) -> None:
    """A deployment with another system prompt; a developer at another task."""
    job = _job(owner)
    if not job.harness:
        job.system = fresh(owner)


def new_limit(owner: Owner, day: int) -> None:
    """One job lets answers be longer, or no longer any length."""
    _job(owner).output_limit = limit_of(owner)


def limit_of(owner: Owner) -> int | None:
    """What somebody writes into a program as the most output."""
    return owner.rng.choice((None, None, 256, 1_024, 4_096, 16_000))


def chars_of(owner: Owner) -> int:
    """The median length of a job's prompts: from a question to a document."""
    return owner.rng.choice((200, 400, 1_500, 6_000, 40_000))


def new_tools(owner: Owner, day: int) -> None:
    """Other tools, or the first ones."""
    job = _job(owner)
    if not job.harness:
        job.tools = fresh(owner)


def new_script(owner: Owner, day: int) -> None:
    """Users who write in another script, for this day in one job."""
    job = _job(owner)
    script = owner.rng.choice(("cyrillic", "han", "arabic", "devanagari", "kana", "hangul"))
    content = Content(
        system=job.system,
        tools=job.tools,
        root=fresh(owner),
        script=script,
        size=job.length(owner.rng),
    )
    owner.extra.append((job, content))


def new_route(owner: Owner, day: int) -> None:
    """Embeddings beside the chat, or the newer chat route."""
    job = _job(owner)
    if owner.rng.random() < 0.5:
        job.route = "responses" if job.route == "chat" else "chat"
    else:
        embeds = replace(job, route="embeddings", model="embed-1", system="", tools="")
        embeds.chars, embeds.output_limit = chars_of(owner), None
        _user(owner).jobs.append(embeds)


def new_job(owner: Owner, day: int) -> None:
    """A batch job, a feature: its own prompt and tools in the same network."""
    old = _job(owner)
    if len(_user(owner).jobs) < 6:
        made = replace(old, system=fresh(owner), tools=fresh(owner), harness="")
        made.chars, made.output_limit = chars_of(owner), limit_of(owner)
        _user(owner).jobs.append(made)


def second_user(owner: Owner, day: int) -> None:
    """A colleague gets the same key: own networks, own machine, own prompts."""
    if len(owner.users) >= 4:
        return
    rng = owner.rng
    family = rng.choice(owner.users[0].jobs).client.family if rng.random() < 0.5 else ""
    job = replace(_job(owner), client=program(rng, family), system=fresh(owner), harness="")
    job.chars, job.output_limit = chars_of(owner), limit_of(owner)
    places = [network(rng, "residential", owner.country)]
    if owner.kind == "developer" and rng.random() < 0.7:
        places.append(owner.users[0].places[-1])
    owner.users.append(User(places=places, jobs=[job], share=0.6))


def inspection(owner: Owner, day: int) -> None:
    """The company begins to inspect TLS: what leaves its network contradicts itself."""
    user = _user(owner)
    for job in user.jobs:
        job.client = altered(
            job.client,
            fingerprint=hashed("inspected", job.client.fingerprint),
            contradictions=(TLS_INSPECTION,),
        )


def greeting(owner: Owner, day: int) -> None:
    """Somebody says "hi" to see whether it works."""
    job = replace(_job(owner), output_limit=16, tools="", harness="")
    owner.extra.append((job, Content(root=fresh(owner), probe="greeting", size=80)))


def no_output(owner: Owner, day: int) -> None:
    """A program with a mistake asks for no output at all; it is seen and mended."""
    job = replace(_job(owner), output_limit=0)
    content = Content(system=job.system, root=fresh(owner), probe="no_output", is_sure=True)
    owner.extra.append((job, content))


def outage(owner: Owner, day: int) -> None:
    """The provider fails, and programs try again."""
    owner.is_retrying = True


def busy_day(owner: Owner, day: int) -> None:
    """A launch, a test at full load: dozens of conversations within an hour."""
    owner.is_dense = True


def build_server(owner: Owner, day: int) -> None:
    """A build server gets the key too: the same jobs in another network."""
    jobs = list(owner.users[0].jobs)
    owner.users.append(User(places=[network(owner.rng, "cloud", "US")], jobs=jobs))


def team_behind_nat(owner: Owner, day: int) -> None:
    """Seven colleagues in one office use the key: own machines and prompts, one network."""
    office = network(owner.rng, "office", owner.country)
    for _ in range(7):
        own = program(owner.rng, owner.users[0].jobs[0].client.family)
        job = replace(owner.users[0].jobs[0], client=own, system=fresh(owner))
        owner.users.append(User(places=[office], jobs=[job], share=0.8))


class Change(NamedTuple):
    """Chances on a day of use, by kind of owner, and what happens."""

    developer: float
    app: float
    public: float
    happen: Callable[[Owner, int], None]

    def rate(self, kind: str) -> float:
        """The mean of owners of this kind."""
        return {"developer": self.developer, "app": self.app, "public": self.public}[kind]


CHANGES: Final = {
    "new network": Change(0.03, 0.0, 0.0, new_network),
    "travel": Change(0.006, 0.0, 0.0, travel),
    "move": Change(0.0008, 0.0012, 0.001, move),
    "new region": Change(0.0, 0.001, 0.0008, new_region),
    "at the desk": Change(0.0, 0.004, 0.002, at_the_desk),
    "new machine": Change(0.004, 0.0008, 0.0005, new_machine),
    "SDK upgrade": Change(0.03, 0.02, 0.015, sdk_upgrade),
    "new program": Change(0.012, 0.0025, 0.002, new_program),
    "new agent": Change(0.003, 0.0, 0.0, new_agent),
    "new model": Change(0.025, 0.008, 0.006, new_model),
    "compare models": Change(0.004, 0.0006, 0.0003, compare_models),
    "new prompt": Change(0.35, 0.06, 0.03, new_prompt),
    "new tools": Change(0.08, 0.015, 0.01, new_tools),
    "new limit": Change(0.02, 0.006, 0.004, new_limit),
    "new script": Change(0.008, 0.004, 0.05, new_script),
    "new route": Change(0.008, 0.003, 0.002, new_route),
    "new job": Change(0.03, 0.006, 0.003, new_job),
    "second user": Change(0.003, 0.0008, 0.0005, second_user),
    "inspection": Change(0.0006, 0.0001, 0.0001, inspection),
    "greeting": Change(0.02, 0.002, 0.004, greeting),
    "no output": Change(0.0004, 0.0002, 0.0001, no_output),
    "outage": Change(0.01, 0.01, 0.01, outage),
    "busy day": Change(0.01, 0.015, 0.02, busy_day),
    # Only in stories:
    "build server": Change(0.0, 0.0, 0.0, build_server),
    "team behind NAT": Change(0.0, 0.0, 0.0, team_behind_nat),
}


def happen(owner: Owner, name: str, day: int) -> None:
    """The change of this name. Raises KeyError for one that there is not."""
    CHANGES[name].happen(owner, day)


def drawn(owner: Owner) -> list[str]:
    """What happens to the owner on a day of use, by the owner's own rates."""
    rng = owner.rng
    if rng.random() >= owner.rates[""]:
        return []
    names = [name for name in CHANGES if owner.rates.get(name, 0.0)]
    weights = [owner.rates[name] for name in names]
    found = rng.choices(names, weights)
    while rng.random() < owner.rates[""] / 2 and len(found) < 4:
        found += rng.choices(names, weights)
    return list(dict.fromkeys(found))
