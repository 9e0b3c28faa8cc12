"""An expected "no": a value with a stable code, never an exception."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is not made. Rooms return it; `pipeline/flow.py` answers with it.

    `code` is `subject:reason` and stands in the record; `public_code` is what a stranger may
    learn (unknown, malformed and revoked keys look alike). `message` says what happened, what it
    means and what to do. `should_retry` says whether the same call can succeed later without
    anybody acting; `retry_after_s` is only given with it. `facts` is added to the error body
    (a cap's scope, limit, spent, held, resets_at …). `challenge` is what a 401 says in
    `WWW-Authenticate` (RFC 9110 section 11.6.1) where it is not the usual one.
    """

    code: str
    status: int
    message: str
    public_code: str = ""
    should_retry: bool = False
    retry_after_s: int | None = None
    facts: tuple[tuple[str, str | int | None], ...] = ()
    challenge: str = ""

    def __post_init__(self) -> None:
        assert ":" in self.code, "a refusal's code is subject:reason"
        assert self.should_retry or self.retry_after_s is None, "waiting must be able to help"

    @property
    def shown_code(self) -> str:
        """The code the caller sees."""
        return self.public_code or self.code
