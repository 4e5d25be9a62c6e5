"""Rules, laws, sections and decisions that are cited by number exist, and every rule is tested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.sources import ROOT, relative, tracked_text

SEMANTICS = (ROOT / "docs" / "semantics.md").read_text()
DECISIONS = (ROOT / "docs" / "decisions.md").read_text()

#: Without a number of any rule: what stands for one where a rule is only an example.
NO_RULE = "NP-000"
RULE = re.compile(r"\b(C?NP)-(\d{3})\b(?: to (?:C?NP)-(\d{3})\b)?")
DECISION = re.compile(r"\bdecisions? (\d+(?:(?:, | and | to )\d+)*)")
SECTION = re.compile(r"\bsemantics(?:\.md)?,? (?:section )?(\d(?:\.\d+)?(?:, \d\.\d+)*)")
LAW = re.compile(r"\bL\d{1,2}\b(?!:)")


def rows(page: str, pattern: str) -> dict[str, str]:
    """Rows of the tables of a page by the number in their first cell."""
    return dict(re.findall(rf"^\| ({pattern}) \| (.*) \|$", page, re.MULTILINE))


RULES = rows(SEMANTICS, r"C?NP-\d{3}")
LAWS = rows(SEMANTICS, r"L\d+")
NUMBERED = rows(DECISIONS, r"\d+")
SECTIONS = set(re.findall(r"^##+ (\d(?:\.\d+)?)[. ]", SEMANTICS, re.MULTILINE))


def sources() -> Iterator[tuple[Path, str]]:
    """Everything that may cite, but for this file and the page itself."""
    own = (Path(__file__), ROOT / "docs" / "semantics.md")
    return ((path, text) for path, text in tracked_text() if path not in own)


def rules_in(text: str) -> Iterator[str]:
    """The rules that a text cites; `NP-074 to NP-076` are three."""
    for kind, first, last in RULE.findall(text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{kind}-{number:03}"


def test_every_rule_that_is_cited_exists() -> None:
    unknown = {f"{relative(path)}: {rule}" for path, text in sources() for rule in rules_in(text)}
    known = {*RULES, NO_RULE}
    assert sorted(cited for cited in unknown if cited.rpartition(" ")[2] not in known) == []


def test_every_decision_that_is_cited_exists() -> None:
    cited = {
        (relative(path), number)
        for path, text in (*sources(), (ROOT / "docs" / "semantics.md", SEMANTICS))
        for numbers in DECISION.findall(text)
        for number in re.findall(r"\d+", numbers)
    }
    assert sorted((path, number) for path, number in cited if number not in NUMBERED) == []


def test_every_section_that_is_cited_exists() -> None:
    cited = {
        (relative(path), number)
        for path, text in sources()
        for numbers in SECTION.findall(text)
        for number in numbers.split(", ")
    }
    assert sorted((path, number) for path, number in cited if number not in SECTIONS) == []


def test_every_law_that_is_cited_exists() -> None:
    """In what tests and documents of the design say; `L4` in code is the kind of a protocol."""
    pages = [ROOT / "DESIGN.md", *sorted((ROOT / "tests").rglob("*.py"))]
    cited = {
        (relative(path), law)
        for path in pages
        if path != Path(__file__)
        for text in (path.read_text(),)
        for law in LAW.findall(text)
    }
    assert sorted((path, law) for path, law in cited if law not in LAWS) == []


def test_decisions_are_numbered_without_gaps() -> None:
    assert [*map(int, NUMBERED)] == [*range(1, len(NUMBERED) + 1)]


def test_every_rule_is_on_the_page_once_and_has_a_source() -> None:
    numbers = re.findall(r"^\| (C?NP-\d{3}) \|", SEMANTICS, re.MULTILINE)
    assert len(numbers) == len(set(numbers)) == len(RULES)
    known = re.compile(
        r"(?:spec|server|e2e(?: E\d\d)*|CNP|practice|decision \d+|attack)(?:, |; |$| of its own)"
    )
    odd = {number: cells for number, cells in RULES.items() if not known.match(cells.rpartition(" | ")[2])}
    assert odd == {}


def test_every_rule_is_cited_by_a_test_or_says_why_not() -> None:
    tested = {
        rule for path, text in sources() if relative(path).startswith("tests/") for rule in rules_in(text)
    }
    assert [n for n, cells in RULES.items() if n not in tested and "*no test*" not in cells] == []
