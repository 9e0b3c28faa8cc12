"""Accounts, their prepaid credit, and projects."""

from tokenward.http.admin.office import Office
from tokenward.http.admin.pages import SomeOf, page_of
from tokenward.http.admin.route import Ask, Page
from tokenward.http.admin.shapes import AccountShape, CreditShape, ProjectShape
from tokenward.kernel.moments import rfc3339
from tokenward.kernel.money import parse_usd
from tokenward.kernel.names import check_name
from tokenward.kernel.refusals import Refusal
from tokenward.ledger.records import Account


class NewAccount(Ask):
    """An account to create."""

    name: str


class OneProject(Ask):
    """One project, by its name."""

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


async def index(office: Office, ask: SomeOf) -> Page[list[AccountShape]]:
    """Accounts, oldest first."""
    accounts = await office.books.accounts(ask.seen(), ask.limit)
    return page_of([_show(account) for account in accounts], ask, accounts)


async def credit(office: Office, ask: Credit) -> CreditShape | Refusal:
    """Add prepaid money; the first credit of an account makes it prepaid."""
    amount_nusd = parse_usd(ask.amount)
    if amount_nusd == 0:
        raise ValueError("credit of nothing; write dollars like 50.00")
    if await office.books.find_account(ask.name) is None:
        return Refusal(
            "account:unknown",
            404,
            f"There is no account {ask.name[:64]!r}. Create it: tokenward account create NAME",
        )
    total_nusd = await office.ledger.add_credit(
        ask.name, amount_nusd, office.clock.now_ms(), ask.why
    )
    return {"account": ask.name, "credit_nusd": total_nusd}


async def project(office: Office, ask: OneProject) -> ProjectShape | Refusal:
    """A project; it came into being with its first key."""
    found = await office.books.find_project(ask.name)
    if found is None:
        return Refusal(
            "project:unknown",
            404,
            f"There is no project {ask.name[:64]!r}; it comes with its first key.",
        )
    return {
        "name": found.name,
        "account": found.account,
        "created_at": rfc3339(found.created_ms),
    }


def _show(account: Account) -> AccountShape:
    return {
        "name": account.name,
        "created_at": rfc3339(account.created_ms),
        "credit_nusd": account.credit_nusd,
    }
