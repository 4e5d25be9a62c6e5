"""The pages of rules: for `--explain`, and docs/lint.md, which is made of them."""

from __future__ import annotations

from collections.abc import Iterable

from policyd.kube.reading import ReadingOptions
from policyd.lint.choice import Choice
from policyd.lint.examples import SHOP
from policyd.lint.finding import Report
from policyd.lint.gather import Input, gather
from policyd.lint.judge import judge
from policyd.lint.render import print_text
from policyd.lint.rule import Rule
from policyd.lint.table import RULES

EXAMPLE = "policy.yaml"


def report_of(example: str, rule: Rule) -> Report:
    """What the rule finds in an example, beside the shop."""
    gathered = gather((Input("shop.yaml", SHOP.encode()), Input(EXAMPLE, example.encode())), ReadingOptions())
    return judge(gathered.subjects, gathered.seen(), gathered.texts, Choice(select=(rule.id,)))


def explain(names: Iterable[str]) -> str:
    """The pages of the rules that are named, or begin so."""
    wanted = tuple(names)
    return "\n".join(page(rule) for rule in RULES if rule.id.startswith(wanted))


def page(rule: Rule) -> str:
    """The page of a rule: what it finds and why that matters, bad and good YAML, and what is said of it."""
    found = print_text(report_of(rule.bad, rule))
    more = f"\n`--fix` {rule.fix}.\n" if rule.fix else ""
    opt_in = ", only if asked for" if rule.opt_in else ""
    return f"""\
## {rule.id}: {rule.title}

{rule.level}{opt_in}. {_NEEDS[rule.needs]}

{rule.why}
{more}
Bad:

```yaml
{rule.bad}```

```text
{found}```

Good:

```yaml
{rule.good}```
"""


_NEEDS = {
    "text": "It needs the policy alone.",
    "objects": "It is as sure as the objects are complete.",
}
