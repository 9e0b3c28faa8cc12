"""Objects that the provider keeps: stored chat completions and responses, fine-tuned models.

They belong to the provider's credential, so to every key of the guard that gets this far. The
calls are free, which must stay true whatever server is asked: so none may carry what a model could
be run with. Functions raise ValueError with a plain reason.
"""

import re
from typing import Final

from tokenward.providers.ask import Ask, Meter, Request, Route
from tokenward.providers.request_body import as_object, read_object

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,255}")


def _route(operation: str, method: str, path: str) -> Route:
    return Route(
        dialect="openai",
        operation=operation,
        method=method,
        path=path,
        stored=True,
        meter=Meter.FREE,
    )


ROUTES: Final = (
    _route("list_chats", "GET", "/v1/chat/completions"),
    _route("get_chat", "GET", "/v1/chat/completions/{id}"),
    _route("update_chat", "POST", "/v1/chat/completions/{id}"),
    _route("delete_chat", "DELETE", "/v1/chat/completions/{id}"),
    _route("list_chat_messages", "GET", "/v1/chat/completions/{id}/messages"),
    _route("get_response", "GET", "/v1/responses/{id}"),
    _route("delete_response", "DELETE", "/v1/responses/{id}"),
    _route("cancel_response", "POST", "/v1/responses/{id}/cancel"),
    _route("list_input_items", "GET", "/v1/responses/{id}/input_items"),
    _route("delete_model", "DELETE", "/v1/models/{model}"),
)


def inspect(request: Request) -> Ask:
    """What is asked of a stored object. Only an update says anything, and only new metadata."""
    route, model = request.route, request.model_in_path
    if route.operation == "update_chat":
        document = read_object(request)
        if document.keys() != {"metadata"}:
            raise ValueError("metadata: of a stored completion it can be changed, and nothing else")
        if document["metadata"] is not None:
            as_object(document["metadata"], "metadata")
    elif request.body:
        raise ValueError("this route takes no body")
    if route.operation == "delete_model" and _MODEL.fullmatch(model) is None:
        raise ValueError(
            "model: the path must name it with letters, digits, '.', '_', ':', '@', '-'"
        )
    return Ask(route=route, model=model, has_output=False, stored=True)
