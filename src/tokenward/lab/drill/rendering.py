"""A call of the lab's virtual time, as a real request that shows the same of its caller.

The lab describes what a call shows (`kernel.signals`); here it becomes what a program would send:
the program's own head, an address in a network of that sort, a prompt for each hash. Models of the
lab's catalogue become real ones of about that price.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from tokenward.kernel.signals import Client, Content, Signals
from tokenward.lab.catalogue import OUTPUT_USD, dice, hashed
from tokenward.lab.drill.calls import CHAT, DEAD, EMBEDDINGS, MESSAGES, RESPONSES, Ask, Body
from tokenward.lab.drill.heads import HEADS
from tokenward.lab.drill.networks import address_of

MODELS: Final = {
    "small-1": "gpt-5-nano",
    "small-2": "gpt-4o-mini",
    "mid-1": "o4-mini",
    "mid-2": "gpt-4o",
    "large-1": "gpt-5.5",
    "haiku-4-5": "claude-haiku-4-5",
    "sonnet-5": "claude-sonnet-5",
    "opus-5": "claude-opus-5",
    "fable-5-1": "claude-fable-5-1",
    "embed-1": "text-embedding-3-small",
}
LISTED: Final = {
    "o4-mini": "1.10/4.40",
    "gpt-5.5": "5/30",
    "claude-opus-5": "5/25",
    "claude-fable-5-1": "10/50",
}
"""Those of them that the stand-in's own list lacks, and what they cost in public lists: dollars a
million tokens of input and output."""
_CHARS_MAX: Final = 2_000_000
_OUTPUT_MAX: Final = 8_000
_INPUT_SHARE: Final = 5
"""A token of input costs about a fifth of one of output."""
_STAND_INS: Final = {
    "aiohttp": "requests", "google-genai": "requests", "java": "curl", "browser": "node-fetch",
}  # fmt: skip
"""Programs that the drill cannot play, and what it plays for them."""
_VARIANTS: Final = 6
_TEXTS: Final = {
    "no_output": "",
    "empty": "",
    "greeting": "hi",
    "sample": "hello world",
    "states": "How many states are there in the United States?",
    "model_name": "Output only your specific model name with no additional text.",
    "say_test": "Just say TEST",
}
_SCRIPTS: Final = {
    "devanagari": "कृपया इस पाठ का सारांश लिखें",
    "kana": "このぶんしょうをまとめてください",
    "cyrillic": "Перескажи этот текст коротко",
    "han": "请概括这段文字的主要内容",
    "arabic": "لخص هذا النص من فضلك",
    "hangul": "이 글을 짧게 요약해 주세요",
}
_HARNESSES: Final = {
    "opencode": ("You are opencode, an agent.", ("bash", "edit", "glob", "grep", "read", "write")),
    "claude-code": (
        "You are Claude Code, Anthropic's official CLI for Claude.",
        ("Bash", "Edit", "Glob", "Grep", "Read", "Write"),
    ),
    "codex": ("You are a coding agent running in the Codex CLI.", ("exec_command", "write_stdin")),
}


@dataclass(slots=True)
class Renderer:
    """Of one story: the same network always gets the same address, the same hash the same words.
    `served` are the real answers by the lab's hash of them, so that a conversation goes on with
    what the guard has seen; any other hash becomes an answer from elsewhere."""

    served: dict[str, str] = field(default_factory=dict)

    def ask(
        self, call: Signals, cost_nusd: int = 0, *, is_probe: bool = False, fails: bool = False
    ) -> Ask:
        """The request. `cost_nusd` is about what it should cost if it passes, 0 for little;
        `fails`: the provider has no time for it."""
        program = self._program(call.client, is_probe=is_probe or not cost_nusd)
        address, content = address_of(call.network), call.content
        if content.probe == "dead_route":
            return Ask(program, address, DEAD, None)
        model = MODELS.get(call.asked.model, call.asked.model)
        path = _path(model, call.asked.route)
        limit = -1 if content.probe == "no_output" else call.asked.output_limit
        if content.probe in _TEXTS:
            said = [("user", _TEXTS[content.probe])]
        else:
            said = self._conversation(content)
            ending = " [[standin status=503]]" if fails else _padding(call, cost_nusd)
            said[-1] = ("user", said[-1][1] + ending)
        body = _body(path, model, content, said, limit)
        return Ask(program, address, path, body)

    def _conversation(self, content: Content) -> list[tuple[str, str]]:
        """The history, oldest first, and the question; each starts with the conversation's own."""
        script = _SCRIPTS.get(content.script, "")
        said = [
            ("user", f"Case {content.root}: is 3 < 4 & 5 > 2 in “{content.root[:4]}”? {script}")
        ]
        for turn, answer in enumerate(reversed(content.answers)):
            text = self.served.get(answer) or f"Elsewhere it was said that {answer} is the answer."
            said += [("assistant", text), ("user", f"And then, after answer {turn + 1}? {script}")]
        return said

    def _program(self, client: Client, *, is_probe: bool) -> str:
        family = _STAND_INS.get(client.family, client.family)
        if family not in HEADS:
            family = "requests"
        if family == "go" and not is_probe:
            return "go-relay"  # it passes on what its buyers' program says of itself
        variant = next(
            (n for n in range(_VARIANTS)
             if client.fingerprint == hashed("program", client.family, n)), 0
        )  # fmt: skip
        return f"{family}@{variant}" if variant else family


def _path(model: str, route: str) -> str:
    if model.startswith("claude"):
        return MESSAGES
    return {"responses": RESPONSES, "embeddings": EMBEDDINGS}.get(route, CHAT)


def _padding(call: Signals, cost_nusd: int) -> str:
    """What makes the call cost about that: a long answer, and where that is not enough, a long
    question."""
    if not cost_nusd:
        return ""
    nusd_a_token = OUTPUT_USD.get(call.asked.model, 10.0) * 1e3
    limit = min(call.asked.output_limit or _OUTPUT_MAX, _OUTPUT_MAX)
    output = min(int(cost_nusd / nusd_a_token), limit)
    rest = int((cost_nusd - output * nusd_a_token) * _INPUT_SHARE / nusd_a_token)
    text = " and more" * min(rest * 4 // 9, _CHARS_MAX // 9)
    return f"{text} [[standin output_tokens={max(output, 1)}]]"


def _body(
    path: str, model: str, content: Content, said: list[tuple[str, str]], limit: int | None
) -> Body:
    """The body in the words of the route."""
    system, tools = _system(content), _tools(content)
    if path == EMBEDDINGS:
        return {"model": model, "input": said[-1][1]}
    turns: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in said]
    body: Body = {"model": model}
    if path == MESSAGES:
        body |= {"max_tokens": limit or 1024, "messages": turns}
        if system:
            body["system"] = system
        made = [{"name": each, "input_schema": {"type": "object"}} for each in tools]
    elif path == RESPONSES:
        body["input"] = turns
        if system:
            body["instructions"] = system
        if limit is not None:
            body["max_output_tokens"] = limit
        made = [{"type": "function", "name": each, "parameters": _NONE} for each in tools]
    else:
        first = [{"role": "system", "content": system}] if system else []
        body["messages"] = first + turns
        if limit is not None:
            body["max_tokens" if content.probe else "max_completion_tokens"] = limit
        made = [{"type": "function", "function": {"name": t, "parameters": _NONE}} for t in tools]
    if made:
        body["tools"] = made
    return body


_NONE: Final[Body] = {"type": "object", "properties": {}}


def _system(content: Content) -> str:
    head = _HARNESSES[content.harness][0] + " " if content.harness in _HARNESSES else ""
    if not (head or content.system):
        return ""
    rng = dice(content.system)
    words = " ".join(rng.choice(_WORDS) for _ in range(24))
    return f"{head}You answer for the desk {content.system}: {words}."


def _tools(content: Content) -> tuple[str, ...]:
    if content.harness in _HARNESSES:
        return _HARNESSES[content.harness][1]
    return (f"look_up_{content.tools[:8]}", f"write_{content.tools[:8]}") if content.tools else ()


_WORDS: Final = (
    "always", "polite", "short", "invoice", "ticket", "summary", "customer", "careful", "answer",
    "list", "never", "guess", "order", "number", "refund", "language", "clear", "document",
    "extract", "field", "table", "check",
)  # fmt: skip
