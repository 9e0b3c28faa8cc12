"""Doors that lead nowhere: paths that only those ask for who try whether a key works.

OpenAI retired most of them years ago, no SDK calls them, and pools of stolen keys and panels that
resell keys still do. They are declared so that it is known whose key was tried; the answer is that
of a door which does not exist, and nothing is ever forwarded.
"""

from typing import Final

from tokenward.kernel.refusals import Refusal
from tokenward.providers.ask import Meter, Request, Route

OPERATION: Final = "trial"
_PATHS: Final = (
    "/v1/organizations",
    "/v1/dashboard/billing/subscription",
    "/v1/dashboard/billing/usage",
    "/v1/dashboard/billing/credit_grants",
    "/dashboard/billing/subscription",
    "/dashboard/billing/usage",
    "/dashboard/billing/credit_grants",
    "/logging/modelinvocations",
)
ROUTES: Final = tuple(
    Route(dialect="openai", operation=OPERATION, method="GET", path=path, meter=Meter.FREE)
    for path in _PATHS
)


def refuse(request: Request) -> Refusal:
    """What the router says of a path that was never declared, word for word: who tries a key
    learns nothing from the difference."""
    return Refusal(
        "route:unknown",
        404,
        f"This guard has no route {request.route.path!r}. It serves the OpenAI, Anthropic and "
        "Gemini routes listed in docs/reference/http.md, and nothing else.",
    )
