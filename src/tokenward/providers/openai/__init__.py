"""The OpenAI dialect: chat, responses, completions, embeddings, images, audio, models.

Promises: a bound that holds for whatever OpenAI and compatible servers accept, or a word on why
there is none; bytes through unchanged save the output limit, the question for usage and the limit
on searches; usage in disjoint buckets, streamed or not, however the bytes arrive.
Does not promise: bounds for predicted outputs, for tools that the provider runs (other than
searches) and for speech billed by its length; such calls are refused where a cap applies.
Fails how: `request:invalid` naming the member; usage it cannot read is `None` with the reason.
"""

from tokenward.providers.openai.dialect import OPENAI, OpenAIDialect

__all__ = ["OPENAI", "OpenAIDialect"]
