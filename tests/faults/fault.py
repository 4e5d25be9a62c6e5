"""A fault: one small mistake in the product, the rule that it breaks, and the test that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Misfit(Exception):
    """The text of a fault is not in the code exactly once: the code has changed, the fault must follow."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`old` becomes `new` in `file`, and then the test `caught_by` (a pytest node id) must fail.

    `rule` names what is broken: a rule or a law of docs/semantics.md (NP-077, L1), a decision, or a promise
    of DESIGN.md.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str
    caught_by: str

    def plant(self, tree: Path) -> None:
        """Write the fault into a copy of the sources. Raises Misfit."""
        path = tree / self.file
        path.write_text(self.applied(path.read_text()))

    def applied(self, text: str) -> str:
        """The text with the fault in it. Raises Misfit."""
        if (count := text.count(self.old)) != 1:
            raise Misfit(f"{self.name}: its text stands {count} times in {self.file}, not once:\n{self.old}")
        return text.replace(self.old, self.new)
