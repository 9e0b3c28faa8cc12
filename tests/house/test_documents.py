"""The documents say what the code does."""

import re

import pytest

from house.source import DOCS, ROOT, docs_text, refusal_codes, required_numbers

ISSUE_NUMBERS = {
    *(f"B-{n}" for n in range(1, 10)),
    *(f"F-{n}" for n in range(1, 6)),
    *(f"Z-{n}" for n in range(1, 5)),
    *(f"M-{n}" for n in range(1, 12)),
    *("K-3", "K-4", "K-5", "K-10"),
    *(f"S-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 9, 10)),
}
PROMISES = {*(f"L{n}" for n in range(1, 10)), *(f"R{n}" for n in range(1, 6))}


def test_every_numbered_requirement_has_a_test() -> None:
    assert ISSUE_NUMBERS - required_numbers() == set()


def test_every_refusal_code_is_documented() -> None:
    text = docs_text()
    codes = refusal_codes()
    assert len(codes) >= 20
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_every_promise_is_quoted_with_its_owner_test() -> None:
    text = (DOCS / "promises.md").read_text("utf-8")
    for promise in PROMISES:
        row = re.search(rf"(?m)^\| {promise} \|.*$", text)
        assert row, f"{promise} is not in promises.md"
        named = re.findall(r"tests/[\w/]+\.py", row.group(0))
        assert named, f"{promise} has no owner test"
        for test in named:
            assert (ROOT / test).exists(), f"{promise} names {test}, which does not exist"


@pytest.mark.parametrize("verb", ["make demo", "make test", "tokenward init", "tokenward serve"])
def test_the_readme_shows_the_first_verbs(verb: str) -> None:
    assert verb in (ROOT / "README.md").read_text("utf-8")


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text("utf-8")):
            if not (page.parent / target).exists():
                broken.append(f"{page.name} → {target}")
    assert broken == []
