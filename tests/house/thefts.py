"""What a thief gets, row by row. `attacks/test_theft_table.py` steals each thing from a running
guard and holds these numbers against the provider's bill; `make docs` writes them into the page."""

from dataclasses import dataclass

NUSD_A_USD = 1_000_000_000
TRIES_MAX = 200
"""Where nothing else ends it, the test does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Theft:
    """What was stolen, of which binding; how often it was tried; what the provider answered and
    billed for it (nano-dollars); and why it was no more."""

    stolen: str
    binding: str
    tries: int
    calls: int
    cost_nusd: int
    why: str


SMALL_NUSD = 5_000_000 + 10_000
"""The victim's call: claude-haiku-4-5, 1,000 tokens of output."""
DEAR_NUSD = 160_000_000 + 40_000
"""What a thief would rather have: claude-opus-5-5, 8,000 tokens of output."""


def _nothing(stolen: str, binding: str, tries: int, why: str) -> Theft:
    return Theft(stolen=stolen, binding=binding, tries=tries, calls=0, cost_nusd=0, why=why)


THEFTS = {
    "key, uncapped": Theft(
        stolen="the key",
        binding="none, `--cap none`",
        tries=TRIES_MAX,
        calls=TRIES_MAX,
        cost_nusd=TRIES_MAX * DEAR_NUSD,
        why="nothing stopped it; the test did",
    ),
    "key, none": Theft(
        stolen="the key",
        binding="none, with the default cap of $10 a day",
        tries=TRIES_MAX,
        calls=62,
        cost_nusd=62 * DEAR_NUSD,
        why="the cap: one call more could have passed it",
    ),
    "request, none": Theft(
        stolen="a whole request, sent again as it is",
        binding="none",
        tries=TRIES_MAX,
        calls=TRIES_MAX,
        cost_nusd=TRIES_MAX * SMALL_NUSD,
        why="nothing stopped it; and the key is in it",
    ),
    "key, dpop": _nothing("the key", "dpop", 8, "no proof by its private key"),
    "key, dpop+body": _nothing("the key", "dpop+body", 8, "no proof by its private key"),
    "access token": _nothing("an access token", "dpop", 7, "no proof by its private key"),
    "access token of an unbound key": _nothing(
        "an access token",
        "none (its tokens are bound all the same)",
        7,
        "no proof by its private key",
    ),
    "refresh token": _nothing(
        "a refresh token", "dpop", 4, "no proof by its private key; its family ended at once"
    ),
    "used refresh token": _nothing(
        "a refresh token that was used, and the private key",
        "dpop",
        1,
        "used twice: its family ended, with every access token of it",
    ),
    "proof, dpop": _nothing(
        "the headers of a call that went through", "dpop", 5, "the proof was used"
    ),
    "proof, dpop+body": _nothing(
        "the headers of a call that went through", "dpop+body", 5, "the proof was used"
    ),
    "request, dpop": _nothing(
        "a whole request that went through, sent again as it is", "dpop", 10, "the proof was used"
    ),
    "request, dpop+body": _nothing(
        "a whole request that went through, sent again as it is",
        "dpop+body",
        10,
        "the proof was used",
    ),
    "held back, dpop": Theft(
        stolen="a request that was held back, sent ten times as it is",
        binding="dpop",
        tries=10,
        calls=1,
        cost_nusd=SMALL_NUSD,
        why="it is the call that its holder meant to make; once",
    ),
    "held back, dpop+body": Theft(
        stolen="a request that was held back, sent ten times as it is",
        binding="dpop+body",
        tries=10,
        calls=1,
        cost_nusd=SMALL_NUSD,
        why="it is the call that its holder meant to make; once",
    ),
    "held back and changed, dpop": Theft(
        stolen="a request that was held back, sent with another body",
        binding="dpop",
        tries=10,
        calls=1,
        cost_nusd=DEAR_NUSD,
        why="**the proof does not cover the body: one call, of the thief's choice**",
    ),
    "held back and changed, dpop+body": _nothing(
        "a request that was held back, sent with another body",
        "dpop+body",
        10,
        "the proof is for another body",
    ),
    "held back too long": _nothing(
        "a request that was held back for more than a minute",
        "dpop+body",
        1,
        "the proof is too old",
    ),
    "proofs for later": _nothing(
        "100 proofs that the holder's program was tricked into making for the next hours",
        "dpop",
        100,
        "a proof is for now, and for a nonce of now",
    ),
}
