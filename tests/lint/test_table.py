"""Every rule by its own examples, and docs/lint.md, which is made of the same table."""

from __future__ import annotations

import re

import pytest

from policyd.lint.choice import Choice
from policyd.lint.document import HEADING, document
from policyd.lint.examples import SHOP
from policyd.lint.explain import explain
from policyd.lint.rule import Rule
from policyd.lint.table import RULES
from tests.cli.calls import ROOT
from tests.lint.linting import report, rules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_bad_example_is_found_and_the_good_one_is_not(rule: Rule) -> None:
    choice = Choice(extend=(rule.id,))
    [first, *_] = [f for f in report(rule.bad, choice=choice).findings if f.rule == rule.id]
    assert first.level in ("error", rule.level)
    assert (first.line, first.column) >= (1, 1)
    assert report(rule.good, choice=choice).findings == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_what_the_table_says_of_edits_is_so(rule: Rule) -> None:
    found = report(rule.bad, choice=Choice(select=(rule.id,))).findings
    assert any(f.suggestion and f.suggestion.edit for f in found) == bool(rule.fix)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_only_what_is_asked_for_is_off(rule: Rule) -> None:
    assert (rule.id in {name for name, _ in rules(rule.bad)}) != rule.opt_in


def test_the_shop_means_what_it_says() -> None:
    assert report().findings == ()
    assert report().world == "complete"


def test_the_manual_is_made_of_the_table() -> None:
    _, heading, rest = (ROOT / "docs" / "lint.md").read_text().partition(HEADING)
    assert heading + rest == document(), "write it again: `make lint-docs`"


def test_the_manual_names_each_rule_once_with_its_level() -> None:
    rows = re.findall(r"^\| \[(NP\d+)\]\(#\S+\) \| (\w+)", document(), re.MULTILINE)
    assert rows == [(rule.id, rule.level) for rule in RULES]
    assert SHOP in document()


def test_explain_prints_the_pages_that_the_manual_has() -> None:
    assert explain(("NP102",)) in document()
    assert explain(("NP10",)).count("\n## ") + 1 == sum(rule.id.startswith("NP10") for rule in RULES)
