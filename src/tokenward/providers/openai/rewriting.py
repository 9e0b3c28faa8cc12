"""The body for the provider: the caller's bytes with what the guard must add, and nothing else."""

from tokenward.kernel.json_text import JsonObject
from tokenward.providers.ask import Ask, Request
from tokenward.providers.json_edit import insert_first, insert_nested, replace_value
from tokenward.providers.openai.fields import is_limited_by_completion


def rewrite(request: Request, ask: Ask, output_limit: int | None) -> bytes:
    """The body with the output limit where one is given and the caller set none, with usage asked
    for in a stream, with a limit on searches where the provider makes them, and with the model
    where the operator names it."""
    body, operation, given = request.body, ask.route.operation, ask.given
    if operation in ("responses", "compact"):
        if request.default_model:
            body = _set(body, given, "model", ask.model)
        searches = max(ask.most.searches, ask.most.file_searches)
        if searches:
            body = _set(body, given, "max_tool_calls", searches)
        return _limited(body, ask, output_limit, "max_output_tokens")
    if operation not in ("chat", "completions"):
        return body
    if ask.stream and not ask.wants_usage:
        body = _with_usage(body, given)
    is_reasoning = operation == "chat" and is_limited_by_completion(ask.model)
    return _limited(
        body, ask, output_limit, "max_completion_tokens" if is_reasoning else "max_tokens"
    )


def _limited(body: bytes, ask: Ask, output_limit: int | None, name: str) -> bytes:
    if output_limit is None or ask.output_asked is not None:
        return body
    return _set(body, ask.given, name, output_limit)


def _with_usage(body: bytes, given: JsonObject) -> bytes:
    options = given.get("stream_options")
    if not isinstance(options, dict):
        return _set(body, given, "stream_options", {"include_usage": True})
    if "include_usage" in options:
        return replace_value(body, ("stream_options", "include_usage"), True)
    return insert_nested(body, ("stream_options",), "include_usage", True)


def _set(body: bytes, given: JsonObject, name: str, value: object) -> bytes:
    """The member `name` with this value; a value that the caller gave stays, unless it is null."""
    if name not in given:
        return insert_first(body, name, value)
    return replace_value(body, (name,), value) if given[name] is None else body
