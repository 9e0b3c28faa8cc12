"""The most a call can cost, as a straight line over the output it may make."""

from msgspec import Struct


class CostBound(Struct, frozen=True, gc=False):
    """cost(n) <= fixed_pico + n * output_pico, for n output tokens over all choices together.

    Made by `prices`, used by `ledger` to take a hold: the ledger may grant any output limit
    between `output_min` and `output_max` (tokens **a choice**), the largest that every cap
    affords. Equal bounds mean the caller set the limit and it is not changed.
    Money in pico-dollars; `fixed_tokens` is the most input tokens.
    """

    fixed_pico: int
    output_pico: int
    fixed_tokens: int
    output_min: int
    output_max: int
    choices: int = 1

    def __post_init__(self) -> None:
        assert 0 <= self.output_min <= self.output_max, "an empty range cannot be granted"
        assert self.choices >= 1, "a call makes at least one choice"
        assert min(self.fixed_pico, self.output_pico, self.fixed_tokens) >= 0, "bounds are >= 0"

    def cost_nusd(self, output_tokens: int) -> int:
        """The most the call can cost with this output limit a choice, in nano-dollars."""
        return -(-(self.fixed_pico + output_tokens * self.choices * self.output_pico) // 1000)

    def tokens(self, output_tokens: int) -> int:
        """The most tokens the call can use with this output limit a choice."""
        return self.fixed_tokens + output_tokens * self.choices

    def output_for_nusd(self, amount_nusd: int) -> int | None:
        """The largest output limit a choice that `amount_nusd` pays for; None if none does."""
        left_pico = amount_nusd * 1000 - self.fixed_pico
        return self._largest(left_pico, self.choices * self.output_pico)

    def output_for_tokens(self, amount_tokens: int) -> int | None:
        """The largest output limit a choice that `amount_tokens` allows; None if none does."""
        return self._largest(amount_tokens - self.fixed_tokens, self.choices)

    def _largest(self, left: int, each: int) -> int | None:
        if left < self.output_min * each:
            return None
        return self.output_max if each == 0 else min(self.output_max, left // each)
