"""How much is it? Integer nano-dollars everywhere; prices in integer pico-dollars a unit.

`nusd` = 10⁻⁹ US dollar, the unit of every amount in the ledger. `pico` = 10⁻¹² US dollar, the
unit of prices: $0.05 per million tokens is 50,000 pico a token. A cost is summed in pico and
rounded up to nano-dollars once, by `nusd_from_pico`.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

NUSD_PER_USD: Final = 1_000_000_000
PICO_PER_NUSD: Final = 1_000
PICO_PER_USD: Final = NUSD_PER_USD * PICO_PER_NUSD
NUSD_MAX: Final = 2**62
"""Largest amount the ledger keeps (SQLite's integers are 64 bits): about 4.6 billion dollars."""


def nusd_from_pico(amount_pico: int) -> int:
    """The whole cost of a call, rounded up once: a cost above zero never becomes zero."""
    assert amount_pico >= 0, "a cost is never negative"
    return -(-amount_pico // PICO_PER_NUSD)


def parse_usd(text: str) -> int:
    """`"20.00"` or `"$20"` → nano-dollars. Raises ValueError unless exact, finite, >= 0."""
    try:
        amount = Decimal(text.strip().removeprefix("$")) * NUSD_PER_USD
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount; write dollars like 20.00") from None
    if not amount.is_finite() or amount < 0 or amount > NUSD_MAX:
        raise ValueError(f"{text!r} is not an amount between 0 and {NUSD_MAX // NUSD_PER_USD}")
    if amount != int(amount):
        raise ValueError(f"{text!r} is finer than a nano-dollar")
    return int(amount)


def format_usd(amount_nusd: int) -> str:
    """`$1.23`; amounts below a cent keep the digits that matter: `$0.000193`."""
    sign, nusd = ("-", -amount_nusd) if amount_nusd < 0 else ("", amount_nusd)
    if nusd == 0 or nusd >= NUSD_PER_USD // 100:
        cents = (nusd + 5_000_000) // 10_000_000
        return f"{sign}${cents // 100:,}.{cents % 100:02d}"
    digits = f"{nusd:09d}".rstrip("0")
    return f"{sign}$0.{digits[:6] if nusd >= 1_000 else digits}"
