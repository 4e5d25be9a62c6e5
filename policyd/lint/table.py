"""All rules, by id. A further rule is a row of a page, and the function that yields its findings."""

from __future__ import annotations

from typing import Final

from policyd.lint import pages_pods, pages_text, pages_tiers, pages_traffic
from policyd.lint.rule import Rule

RULES: Final[tuple[Rule, ...]] = tuple(
    sorted(
        (*pages_text.PAGES, *pages_pods.PAGES, *pages_traffic.PAGES, *pages_tiers.PAGES),
        key=lambda rule: rule.id,
    )
)
BY_ID: Final = {rule.id: rule for rule in RULES}
