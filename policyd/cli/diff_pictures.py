"""The pictures of `policyd diff`: a name → how a comparison is drawn so. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from policyd.ask.diff import Difference
from policyd.ask.exposure import letting_all_in
from policyd.ask.reach import reach
from policyd.ask.world import World
from policyd.cli.diff_text import headline, notes
from policyd.render.compared import compared
from policyd.render.html import difference_page
from policyd.render.matrix import Matrix
from policyd.render.svg import svg


@dataclass(frozen=True)
class Sides:
    """Both sides, what differs, and what else there is to say."""

    old: World
    new: World
    found: Difference
    more: Sequence[str] = ()

    @cached_property
    def matrix(self) -> Matrix:
        """What differs as rows and columns."""
        newly = letting_all_in(self.new) - letting_all_in(self.old)
        return compared(self.found, reach(self.new), newly)

    @property
    def said(self) -> str:
        """How much it is, in a line."""
        return f"{headline(self.found)}: rows send, columns receive"

    @property
    def notes(self) -> list[str]:
        """What a matrix does not show."""
        return [*notes(self.found), *self.more]


PICTURES: dict[str, Callable[[Sides], str]] = {
    "html": lambda sides: difference_page(sides.matrix, sides.said, sides.new, sides.found, sides.notes),
    "svg": lambda sides: svg(sides.matrix, sides.said, sides.notes),
}
