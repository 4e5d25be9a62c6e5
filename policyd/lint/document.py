"""The rules in docs/lint.md: made of the table, and of what lint says about the examples."""

from __future__ import annotations

from typing import Final

from policyd.lint.examples import SHOP
from policyd.lint.explain import page
from policyd.lint.rule import Rule
from policyd.lint.table import RULES

#: What stands before it in the manual is written by hand.
HEADING: Final = "## The rules\n"


def document() -> str:
    """The part of the manual that is about the rules."""
    rows = "\n".join(map(_row, RULES))
    pages = "\n".join(map(page, RULES))
    return f"""\
{HEADING}
| rule | | finds |
|---|---|---|
{rows}

The examples are about this shop:

```yaml
{SHOP}```

{pages}"""


def _row(rule: Rule) -> str:
    level = f"{rule.level}, if asked for" if rule.opt_in else rule.level
    return f"| [{rule.id}](#{_anchor(rule)}) | {level} | {rule.title} |"


def _anchor(rule: Rule) -> str:
    """As GitHub makes it of the heading."""
    heading = f"{rule.id}: {rule.title}".lower().replace(" ", "-")
    return "".join(c for c in heading if c.isalnum() or c in "-_")
