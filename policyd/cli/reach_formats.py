"""The formats of `policyd reach`: a name → how an answer is printed so. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from policyd.ask.answers import Json, reachability_json
from policyd.ask.exposure import Exposure
from policyd.ask.hops import Hops
from policyd.ask.reach import Reachability
from policyd.ask.reach_json import exposure_json, hops_json
from policyd.ask.world import World
from policyd.errors import WrongUsage
from policyd.render import exposed, ways
from policyd.render.assertions_file import assertions
from policyd.render.graphs import dot, mermaid
from policyd.render.html import exposure_page, page
from policyd.render.matrix import Line, Matrix, counted, lines, matrix_of, summary
from policyd.render.svg import EXPOSURE, svg
from policyd.render.tables import csv_text, markdown
from policyd_compiler.ports import PortSet

#: More than this nobody looks at, and no browser shows.
MOST_CELLS = 4_000_000


@dataclass(frozen=True)
class Answered:
    """An answer, and what was asked: of which senders, receivers and ports, None for all.

    `found` may be about groups of endpoints: all ids are then those of groups. `wide_open`: who lets all in.
    """

    world: World
    found: Reachability
    senders: frozenset[str] | None
    receivers: frozenset[str] | None
    ports: PortSet | None
    wide_open: frozenset[str] = frozenset()
    grouped: bool = False

    @cached_property
    def matrix(self) -> Matrix:
        """The answer as rows and columns. WrongUsage if these are too many for anybody."""
        rows = lines(self.found.endpoints, self.senders)
        if len(rows) * len(self.columns) > MOST_CELLS:
            raise WrongUsage(
                f"{len(rows)} rows and {len(self.columns)} columns are too many to look at: "
                "take fewer by --from and --to, or --by namespace; -o json and -o csv have all"
            )
        return matrix_of(self.found, self.senders, self.receivers, self.wide_open)

    @property
    def columns(self) -> Sequence[Line]:
        """Who receives."""
        return lines(self.found.endpoints, self.receivers)

    @property
    def said(self) -> str:
        """What it is about, in a line."""
        return summary(self.world)


@dataclass(frozen=True)
class Opened:
    """The answer of --open."""

    world: World
    found: Exposure
    wide_open: frozenset[str]

    @cached_property
    def matrix(self) -> Matrix:
        """The answer as rows and columns."""
        return exposed.matrix_of(self.found, self.wide_open)

    @property
    def said(self) -> str:
        """What it is about, in a line."""
        return f"{counted(self.world)}: rows are whoever comes, columns are who lets them in"


def _json(answered: Answered) -> str:
    return _text(reachability_json(answered.world, answered.found))


def _text(answer: Json) -> str:
    return json.dumps(answer, indent=2) + "\n"


def _tests(answered: Answered) -> str:
    text = assertions(answered.world, answered.senders, answered.receivers, answered.ports)
    if not text:
        raise WrongUsage("-o tests has nothing to say: there is no pair of which anything is decided")
    return text


#: What is printed whatever terminal there is.
FORMATS: dict[str, Callable[[Answered], str]] = {
    "json": _json,
    "md": lambda answered: markdown(answered.matrix, answered.said),
    "csv": lambda answered: csv_text(answered.found),
    "dot": lambda answered: dot(answered.matrix, answered.said),
    "mermaid": lambda answered: mermaid(answered.matrix, answered.said),
    "html": lambda answered: page(answered.matrix, answered.said, answered.world, grouped=answered.grouped),
    "svg": lambda answered: svg(answered.matrix, answered.said),
    "tests": _tests,
}
#: The same of --open, and of --hops.
OPEN_FORMATS: dict[str, Callable[[Opened], str]] = {
    "json": lambda opened: _text(exposure_json(opened.found)),
    "md": lambda opened: exposed.markdown(opened.found),
    "csv": lambda opened: exposed.csv_text(opened.found),
    "dot": lambda opened: dot(opened.matrix, f"{EXPOSURE}: {counted(opened.world)}"),
    "mermaid": lambda opened: mermaid(opened.matrix, f"{EXPOSURE}: {counted(opened.world)}"),
    "html": lambda opened: exposure_page(opened.matrix, opened.said, exposed.rules(opened.found)),
    "svg": lambda opened: svg(opened.matrix, opened.said, title=EXPOSURE),
}
HOPS_FORMATS: dict[str, Callable[[Hops], str]] = {
    "json": lambda found: _text(hops_json(found)),
    "md": ways.markdown,
    "csv": ways.csv_text,
    "dot": lambda found: dot(ways.matrix_of(found), ways.said(found)),
    "mermaid": lambda found: mermaid(ways.matrix_of(found), ways.said(found)),
}
#: What names workloads one by one, and not groups of them.
OF_WORKLOADS = frozenset({"json", "tests"})
