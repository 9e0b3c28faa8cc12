"""What a stolen, forged or foreign workload token buys: a real guard before two real issuers."""

import base64
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from requests_oauth2client import OAuth2Client, OAuth2Error

from attacks.bound_calls import record_of
from attacks.probe import CHAT, Answer, Key, admin, ask, caps_of, settled_caps
from guard import GuardProcess, provider_settings
from holder import Holder, claims_for
from issuer import JWKS, SelfMadeIssuer, rsa_key, running_issuer
from standin import StandinProcess

US = "https://guard.example.com"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
CLAIMS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "workload" / "github_claims.json").read_text("utf-8")
)
CAP_USD = "0.002"
RULES = """
[[workload]]
name = "ci"
kind = "github"
key = "{ci}"
issuer = "{github}"
audience = "{us}"
repository_id = "74"
repository_owner_id = "65"
ref = "refs/heads/main"
environment = "prod"
[[workload]]
name = "batch"
kind = "spiffe"
key = "{batch}"
subject = "spiffe://example.org/batch/*"
jwks_uri = "{spire}/keys"
audience = "{us}"
[[workload]]
name = "gone"
kind = "spiffe"
key = "NoSuchKey012"
subject = "spiffe://gone.example/x"
jwks_uri = "{spire}/keys"
audience = "{us}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A guard, the issuers that it pins, and the keys that stand for their workloads."""

    guard: GuardProcess
    github: SelfMadeIssuer
    spire: SelfMadeIssuer
    ci: Key
    batch: Key

    def job(self, kid: str = "one", algorithm: str = "RS256", **changed: Any) -> str:
        """GitHub's example token, now, for us."""
        times = {"nbf", "iat", "exp", "jti", "iss", "aud"}
        plain = {name: CLAIMS[name] for name in CLAIMS.keys() - times}
        return self.github.token(kid, algorithm, **{**plain, "aud": US, **changed})

    def svid(self, **changed: Any) -> str:
        """A JWT-SVID."""
        plain = {"sub": "spiffe://example.org/batch/embed", "aud": [US, "x"], "iss": None}
        return self.spire.token(algorithm="ES256", **{**plain, "jti": None, **changed})

    def post(self, holder: Holder, path: str, proof_for: str, **sent: Any) -> Answer:
        """A signed request; asked for a nonce it signs again, as every client does."""
        nonce = ""
        while True:
            claims = claims_for(
                "POST", self.guard.base_url + path, credential=proof_for, nonce=nonce
            )
            headers = [*sent["headers"], ("dpop", holder.proof(claims))]
            answer = ask(self.guard.base_url, "POST", path, headers, sent["body"])
            if nonce or answer.status not in (400, 401) or b"nonce" not in answer.body:
                return answer
            nonce = answer.headers["dpop-nonce"]

    def exchange(self, holder: Holder, subject: str, kind: str = JWT, **more: str) -> Answer:
        """RFC 8693."""
        form = {
            "grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": kind, **more
        }  # fmt: skip
        head = [("content-type", "application/x-www-form-urlencoded")]
        return self.post(holder, "/oauth/token", "", headers=head, body=urlencode(form).encode())

    def call(self, holder: Holder, token: str, *, output: int = 20) -> Answer:
        """A call to the model with a token."""
        head = [("authorization", f"DPoP {token}"), ("content-type", "application/json")]
        body = json.dumps({**CHAT.body, "max_completion_tokens": output}).encode()
        return self.post(holder, CHAT.path, token, headers=head, body=body)

    def token(self, holder: Holder, subject: str = "", **more: str) -> str:
        """An access token for a job."""
        answer = self.exchange(holder, subject or self.job(), **more)
        assert answer.status == 200, answer.body
        return str(answer.json["access_token"])


def new_guard(folder: Path, standin: StandinProcess) -> tuple[GuardProcess, Key, Key]:
    """A guard that remembers used tokens since ten minutes, and two keys of it; not started."""
    environ = {"PROVIDER_KEY": standin.credential}
    guard = GuardProcess(folder, provider_settings(standin.base_url), environ)
    ci = Key(*guard.key("--bind", "dpop", "--cap", f"{CAP_USD}/day"))
    batch = Key(*guard.key("--bind", "dpop", "--cap", "5.00/day"))
    with closing(sqlite3.connect(guard.folder / "data" / "proofs.db")) as proofs, proofs:
        proofs.execute("UPDATE epoch SET since_ms = since_ms - 600000")
    return guard, ci, batch


@contextmanager
def running_world(folder: Path, standin: StandinProcess) -> Iterator[World]:
    guard, ci, batch = new_guard(folder, standin)
    file = guard.folder / "tokenward.toml"
    with running_issuer() as github, running_issuer() as spire:
        spire.keys = {"one": ec.generate_private_key(ec.SECP256R1())}
        rules = RULES.format(us=US, github=github.url, spire=spire.url, ci=ci.id, batch=batch.id)
        file.write_text(file.read_text("utf-8") + rules, "utf-8")
        guard.start()
        try:
            yield World(guard=guard, github=github, spire=spire, ci=ci, batch=batch)
        finally:
            status = guard.stop()
    assert status == 0, guard.log()


@pytest.fixture(scope="module")
def world(standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("workloads"), standin) as running:
        yield running


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


def assert_opens_nothing(world: World, subject: str, code: str, kind: str = JWT) -> None:
    """Refused, without a word on why; the record knows."""
    answer = world.exchange(Holder(), subject, kind)
    assert answer.status == 400, answer.body
    assert answer.json["error"] in ("invalid_grant", "invalid_request")
    assert answer.json["code"] == "workload:invalid"
    assert set(answer.json) == {"error", "error_description", "code", "request_id"}
    assert answer.headers["cache-control"] == "no-store"
    assert record_of(world.guard, answer)["refusal"] == code


# -- what it is for -------------------------------------------------------------------------------


@pytest.mark.req("K-9")
@pytest.mark.parametrize("kind", [JWT, ID_TOKEN])
def test_a_job_gets_a_short_token_of_its_own_and_calls_with_it(world: World, kind: str) -> None:
    holder = Holder()
    answer = world.exchange(holder, world.job(), kind)
    assert answer.status == 200, answer.body
    given = answer.json
    assert given["token_type"] == "DPoP"
    assert given["issued_token_type"] == ACCESS_TOKEN
    assert "refresh_token" not in given
    claims = claims_of(given["access_token"])
    assert claims["sub"] == world.ci.id
    assert claims["cnf"] == {"jkt": holder.thumbprint}
    assert claims["exp"] - claims["iat"] == given["expires_in"] <= 300
    called = world.call(holder, given["access_token"])
    assert called.status == 200, called.body
    record = record_of(world.guard, called)
    assert (record["key"], record["proof_thumbprint"]) == (world.ci.id, holder.thumbprint)


def test_the_other_issuer_speaks_for_the_other_key(world: World) -> None:
    holder = Holder("Ed25519")
    token = world.token(holder, world.svid())
    assert claims_of(token)["sub"] == world.batch.id
    assert world.call(holder, token).status == 200


def test_a_job_that_uses_a_library_nobody_here_wrote_gets_its_token(world: World) -> None:
    client = OAuth2Client(world.guard.base_url + "/oauth/token", client_id="job", testing=True)
    token = client.token_exchange(subject_token=world.svid(), subject_token_type=JWT, dpop=True)
    answer = requests.post(world.guard.base_url + CHAT.path, json=CHAT.body, auth=token, timeout=30)
    assert answer.status_code == 200
    with pytest.raises(OAuth2Error):
        client.token_exchange(subject_token="x.y.z", subject_token_type=JWT, dpop=True)


def test_a_refresh_token_serves_the_same_holder_until_the_workload_token_ends(
    world: World,
) -> None:
    """A SPIFFE agent gives out one token again and again, and each is good for one exchange."""
    holder = Holder()
    subject = world.svid()
    given = world.exchange(holder, subject, scope="offline_access").json
    assert_opens_nothing(world, subject, "workload:replayed")
    form = urlencode({"grant_type": "refresh_token", "refresh_token": given["refresh_token"]})
    head = [("content-type", "application/x-www-form-urlencoded")]
    answer = world.post(holder, "/oauth/token", "", headers=head, body=form.encode())
    assert answer.status == 200, answer.body
    assert world.call(holder, answer.json["access_token"]).status == 200
    assert claims_of(answer.json["access_token"])["exp"] <= claims_of(subject)["exp"]


def test_a_token_ends_with_the_token_it_was_got_with(world: World) -> None:
    now_s = int(time.time())
    answer = world.exchange(Holder(), world.job(exp=now_s + 60))
    assert 50 <= answer.json["expires_in"] <= 60
    offline = world.exchange(Holder(), world.job(exp=now_s + 60), scope="offline_access")
    assert 50 <= offline.json["expires_in"] <= 60
    assert offline.json["refresh_token"].startswith("tw_rt_")


def test_the_cap_of_the_rules_key_holds_for_all_its_jobs_together(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with running_world(tmp_path, standin) as world:
        codes = set()
        for _ in range(60):
            holder = Holder()
            answer = world.call(holder, world.token(holder), output=100)
            codes.add((answer.status, answer.code))
            if answer.status != 200:
                break
        assert codes == {(200, ""), (429, "cap:reached")}
        (cap,) = settled_caps(world.guard, world.ci)
        assert 0 < cap["spent"] <= cap["limit"] == round(float(CAP_USD) * 1e9)


# -- what a thief gets ----------------------------------------------------------------------------


@pytest.mark.req("K-9")
def test_a_stolen_workload_token_that_was_used_buys_nothing(world: World) -> None:
    subject = world.svid()
    world.token(Holder(), subject)
    assert_opens_nothing(world, subject, "workload:replayed")


def test_a_stolen_access_token_of_a_job_buys_nothing(world: World) -> None:
    token = world.token(Holder(), world.svid())
    body = json.dumps(CHAT.body).encode()
    kind = ("content-type", "application/json")
    for headers in (
        [kind, ("authorization", f"Bearer {token}")],
        [kind, ("authorization", f"DPoP {token}")],
    ):
        answer = ask(world.guard.base_url, "POST", CHAT.path, headers, body)
        assert (answer.status, answer.code) == (401, "proof:missing")
    answer = world.call(Holder(), token)
    assert (answer.status, answer.code) == (401, "proof:invalid")


def test_a_workload_token_is_no_credential_at_the_gateway(world: World) -> None:
    token = world.svid()
    answer = world.call(Holder(), token)
    assert (answer.status, answer.code) == (401, "key:invalid")
    assert world.exchange(Holder(), token).status == 200, "and it was not used up"


def test_without_a_proof_nothing_is_given_and_nothing_used_up(world: World) -> None:
    subject = world.svid()
    form = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": JWT}
    head = [("content-type", "application/x-www-form-urlencoded")]
    body = urlencode(form).encode()
    answer = ask(world.guard.base_url, "POST", "/oauth/token", head, body)
    assert answer.status == 400
    assert answer.json["code"] == "proof:missing"
    assert world.exchange(Holder(), subject).status == 200


def test_a_rule_whose_key_is_gone_or_frozen_opens_nothing(world: World) -> None:
    subject = world.svid(sub="spiffe://gone.example/x")
    assert_opens_nothing(world, subject, "workload:key")
    holder = Holder()
    token = world.token(holder, world.svid())
    assert admin(world.guard, "POST", f"/keys/{world.batch.id}/freeze", {"why": "x"}).status == 200
    try:
        assert_opens_nothing(world, world.svid(), "key:frozen")
        assert world.call(holder, token).status in (401, 403), "also with a token it got before"
    finally:
        admin(world.guard, "POST", f"/keys/{world.batch.id}/unfreeze", {})
    assert world.call(holder, token).status == 200


def test_the_doctor_names_the_rule_whose_key_is_gone(world: World) -> None:
    done = world.guard.run("--json", "doctor")
    assert done.returncode == 1, done.stderr
    (check,) = (c for c in json.loads(done.stdout)["checks"] if c["name"] == "workload")
    assert not check["ok"]
    assert check["why"].startswith("rule gone: there is no key NoSuchKey012; ")
    assert "rule ci" not in check["why"]


FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "same name, another repository": ("workload:repository", {"repository_id": "75"}),
    "same name, another owner": ("workload:repository", {"repository_owner_id": "66"}),
    "a fork": (
        "workload:repository",
        {"sub": "repo:eve@9/octo-repo@8:ref:refs/heads/main", "repository_id": "8",
         "repository_owner_id": "9", "repository": "eve/octo-repo"},
    ),
    "ids in the subject that are not the claims'": (
        "workload:repository", {"sub": "repo:octo-org@65/octo-repo@75:environment:prod"},
    ),
    "a pull request": ("workload:pull_request", {"sub": "repo:octo-org/octo-repo:pull_request"}),
    "a pull request in the environment": (
        "workload:pull_request", {"event_name": "pull_request", "ref": "refs/pull/1/merge"},
    ),
    "another environment": ("workload:environment", {"environment": "dev"}),
    "no environment": ("workload:environment", {"environment": None}),
    "another branch": ("workload:ref", {"ref": "refs/heads/dev"}),
    "a tag of the branch's name": ("workload:ref", {"ref": "refs/tags/main"}),
    "another audience": ("workload:audience", {"aud": "https://github.com/octo-org"}),
    "a list without us": ("workload:audience", {"aud": ["sts.amazonaws.com"]}),
    "no audience": ("workload:audience", {"aud": None}),
    "ended": ("workload:expired", {"iat": 1632493567, "exp": 1632493867}),
    "not begun": ("workload:early", {"nbf": 4102444800}),
    "good for a day": ("workload:lifetime", {"exp": 4102444800}),
    "no times": ("workload:expired", {"iat": None}),
    "another subject's alphabet": (
        "workload:subject", {"sub": "repo:оcto-org/octo-repo:environment:prod"},
    ),
    "a subject that moves the cursor": ("workload:invalid", {"sub": "repo:o/r:\u202e\x1b[2J"}),
    "an issuer nobody pinned": ("workload:issuer", {"iss": "https://evil.example"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_job_opens_nothing_and_only_the_record_says_why(world: World, name: str) -> None:
    code, changed = FOREIGN[name]
    assert_opens_nothing(world, world.job(**changed), code)


@pytest.mark.parametrize(
    "subject",
    [
        "spiffe://example.org.evil/batch/embed",
        "spiffe://evil/example.org/batch/embed",
        "spiffe://example.org/batch/../admin",
        "spiffe://example.org/batches/embed",
        "spiffe://example.org@evil/batch/embed",
        "spiffe://EXAMPLE.ORG/batch/embed",
    ],
)
def test_a_foreign_spiffe_id_opens_nothing(world: World, subject: str) -> None:
    answer = world.exchange(Holder(), world.svid(sub=subject))
    assert (answer.status, answer.json["code"]) == (400, "workload:invalid")


def test_the_keys_of_one_issuer_sign_nothing_for_the_other(world: World) -> None:
    as_github = world.spire.token(algorithm="ES256", **claims_of(world.job()))
    assert_opens_nothing(world, as_github, "workload:signature")
    as_spire = world.github.token(**claims_of(world.svid()), iss=None)
    assert_opens_nothing(world, as_spire, "workload:signature")


def test_forged_tokens_open_nothing(world: World) -> None:
    good = world.job()
    header, claims, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').rstrip(b"=").decode()
    for forged in (
        f"{none}.{claims}.",
        f"{none}.{claims}.{signature}",
        f"{header}.{claims}.{signature[::-1]}",
        f"{header}.{claims}",
        "x" * 20_000,
        good + "=",
        "é.é.é",
        hashlib.sha256(b"x").hexdigest(),
    ):
        answer = world.exchange(Holder(), forged)
        assert (answer.status, answer.json["code"]) == (400, "workload:invalid"), forged[:80]
    for kind in ("urn:ietf:params:oauth:token-type:saml2", "x", ACCESS_TOKEN):
        answer = world.exchange(Holder(), good, kind)
        assert answer.status == 400
    assert world.exchange(Holder(), good).status == 200, "none of them used it up"


# -- issuers that fail ----------------------------------------------------------------------------


def test_an_issuer_that_is_down_stops_its_own_workloads_alone(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with running_world(tmp_path, standin) as world:
        github, spire = world.github, world.spire
        github.answers[JWKS] = (302, {"location": spire.url + JWKS}, b"")
        subject = world.job()
        for _ in range(5):
            answer = world.exchange(Holder(), subject)
            assert answer.status == 503, answer.body
            assert answer.json["error"] == "temporarily_unavailable"
            assert answer.json["code"] == "issuer:unavailable"
            assert int(answer.headers["retry-after"]) > 0
        assert github.asked[JWKS] <= 2, "and it is left alone meanwhile"
        assert spire.asked[JWKS] == 0, "a redirect is not followed"
        assert world.exchange(Holder(), world.svid()).status == 200
        assert caps_of(world.guard, world.ci)[0]["spent"] == 0
        (line,) = (line for line in world.guard.log().splitlines() if github.url in line)
        assert "it answered 302" in line


def test_a_guard_that_starts_anew_knows_the_keys_of_now_and_the_tokens_of_before(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with running_world(tmp_path, standin) as world:
        used = world.svid()
        world.token(Holder(), used)
        assert world.guard.stop() == 0, world.guard.log()
        world.github.keys = {"two": rsa_key(1)}
        world.guard.start()
        assert_opens_nothing(world, used, "workload:replayed")
        assert world.exchange(Holder(), world.job("two")).status == 200
        world.github.keys["one"] = rsa_key()
        assert_opens_nothing(world, world.job("one"), "workload:signature")


def test_a_token_from_before_the_memory_of_used_ones_opens_nothing(
    standin: StandinProcess, tmp_path: Path
) -> None:
    """A machine that was started anew has lost it; whoever is honest asks for a new token."""
    with running_world(tmp_path, standin) as world:
        assert_opens_nothing(world, world.svid(iat=int(time.time()) - 700), "workload:forgotten")
