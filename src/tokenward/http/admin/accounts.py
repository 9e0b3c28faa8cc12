"""Accounts and their prepaid credit."""

from tokenward.http.admin.office import Office
from tokenward.http.admin.route import Ask, Nothing
from tokenward.http.admin.shapes import AccountShape, CreditShape
from tokenward.kernel.moments import rfc3339
from tokenward.kernel.money import parse_usd
from tokenward.kernel.names import check_name
from tokenward.kernel.refusals import Refusal
from tokenward.ledger.records import Account


class NewAccount(Ask):
    """An account to create."""

    name: str


class Credit(Ask):
    """Prepaid money: `amount` in dollars as text, e.g. "50.00"."""

    name: str
    amount: str
    why: str = ""


async def create(office: Office, ask: NewAccount) -> AccountShape | Refusal:
    """A new account, without credit: unlimited until it gets credit or a cap."""
    at_ms = office.clock.now_ms()
    check_name(ask.name, "an account")
    if not await office.books.create_account(ask.name, at_ms):
        return Refusal("account:exists", 409, f"There is an account {ask.name} already.")
    return _show(Account(name=ask.name, created_ms=at_ms, credit_nusd=None))


async def index(office: Office, ask: Nothing) -> list[AccountShape]:
    """Every account."""
    return [_show(account) for account in await office.books.accounts()]


async def credit(office: Office, ask: Credit) -> CreditShape | Refusal:
    """Add prepaid money; the first credit of an account makes it prepaid."""
    amount_nusd = parse_usd(ask.amount)
    if amount_nusd == 0:
        raise ValueError("credit of nothing; write dollars like 50.00")
    if ask.name not in {account.name for account in await office.books.accounts()}:
        return Refusal(
            "account:unknown",
            404,
            f"There is no account {ask.name[:64]!r}. Create it: tokenward account create NAME",
        )
    total_nusd = await office.ledger.add_credit(
        ask.name, amount_nusd, office.clock.now_ms(), ask.why
    )
    return {"account": ask.name, "credit_nusd": total_nusd}


def _show(account: Account) -> AccountShape:
    return {
        "name": account.name,
        "created_at": rfc3339(account.created_ms),
        "credit_nusd": account.credit_nusd,
    }
