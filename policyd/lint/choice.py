"""Which rules are asked: those on by default or named by somebody, without those that are ignored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policyd.lint.table import RULES


@dataclass(frozen=True, slots=True)
class Choice:
    """`select`, `extend` and `ignore` are ids, or beginnings of ids such as NP1; `select` () is the default.

    What is off by default is asked only by its whole id.
    """

    select: tuple[str, ...] = ()
    extend: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def has(self, rule: str) -> bool:
        """Whether the rule is asked at all."""
        named = (*self.select, *self.extend)
        if _OPT_IN.get(rule, False):
            return rule in named
        return not self.select or rule.startswith(named)

    def ignores(self, rule: str) -> bool:
        """Whether what the rule finds is left out, and counted."""
        return rule.startswith(self.ignore)


_OPT_IN = {rule.id: rule.opt_in for rule in RULES}
DEFAULT = Choice()


def unknown(names: Iterable[str]) -> list[str]:
    """Of these ids and beginnings, those that no rule has."""
    return [name for name in names if not any(rule.id.startswith(name) and name for rule in RULES)]
