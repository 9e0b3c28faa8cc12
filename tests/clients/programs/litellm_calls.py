"""LiteLLM as programs use it, in the environment of `programs.txt`.

python litellm_calls.py ADDRESS
"""

import asyncio
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet as it is imported

import litellm

ADDRESS = sys.argv[1]
ASK = {
    "api_key": "sk-fake",
    "messages": [{"role": "user", "content": "Was kostet ein Kaffee in <Genève> & Zürich?"}],
}
OPENAI = {**ASK, "model": "openai/gpt-5-mini", "api_base": f"{ADDRESS}/v1"}
ANTHROPIC = {**ASK, "model": "anthropic/claude-haiku-4-5", "api_base": ADDRESS}
GEMINI = {**ASK, "model": "gemini/gemini-2.5-flash", "api_base": ADDRESS}


async def call_asynchronously() -> None:
    await litellm.acompletion(**OPENAI)
    async for _ in await litellm.acompletion(**OPENAI, stream=True, timeout=9):
        pass


litellm.completion(**OPENAI)
litellm.completion(**OPENAI, timeout=30, temperature=1, extra_headers={"X-Team": "blue"})
list(litellm.completion(**OPENAI, stream=True))
list(litellm.completion(**OPENAI, stream=True, timeout=30.5))
asyncio.run(call_asynchronously())
litellm.completion(**ANTHROPIC)
list(litellm.completion(**ANTHROPIC, stream=True))
litellm.completion(**GEMINI)
