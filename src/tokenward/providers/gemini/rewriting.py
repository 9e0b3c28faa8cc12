"""Setting the output limit in the caller's own bytes."""

from typing import Final

from tokenward.kernel.json_text import JsonObject
from tokenward.providers.gemini.proto_json import object_field, snake_case, spelling
from tokenward.providers.json_edit import insert_first, insert_nested, replace_value

CONFIG: Final = "generationConfig"
LIMIT: Final = "maxOutputTokens"


def set_output_limit(body: bytes, given: JsonObject, limit: int) -> bytes:
    """`body` with `limit` in its generation config, in the spelling that the caller uses.

    `body` is one that `read_generate` accepted and that sets no limit, `given` holds its config.
    Nothing else changes.
    """
    config_name = spelling(given, CONFIG)
    config = object_field(given, CONFIG)
    limit_name = spelling(config, LIMIT)
    if config_name != CONFIG and limit_name not in config:
        limit_name = snake_case(LIMIT)
    if config_name not in given:
        return insert_first(body, config_name, {limit_name: limit})
    if given[config_name] is None:
        return replace_value(body, (config_name,), {limit_name: limit})
    if limit_name in config:
        return replace_value(body, (config_name, limit_name), limit)
    return insert_nested(body, (config_name,), limit_name, limit)
