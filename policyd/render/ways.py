"""Who is reached over several connections: as tables, and as a matrix for graphs. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.ask.answers import OUTSIDE
from policyd.ask.hops import Hops, Step
from policyd.ask.ports import print_ports
from policyd.render.cells import Cell, short_names
from policyd.render.matrix import Line, Matrix
from policyd.render.tables import by_protocol, cell, csv_of
from policyd_compiler.ports import EVERYTHING

CSV_HEAD = ("hop", "from", "to", "protocol", "ports")


def names_of(found: Hops) -> Mapping[str, str]:
    """How people read the ids."""
    return {**short_names(found.endpoints), OUTSIDE: OUTSIDE}


def said(found: Hops) -> str:
    """What it is about, in a line."""
    names = names_of(found)
    many = "one connection" if found.most == 1 else f"at most {found.most} connections"
    return f"Whom {', '.join(names[each] for each in found.senders)} reaches over {many}"


def way_text(way: tuple[Step, ...], names: Mapping[str, str]) -> str:
    """`outside → shop/web (8080) → shop/db (5432)`."""
    steps = (f"{names[step.receiver]} ({print_ports(step.allowed)})" for step in way)
    return " → ".join((names[way[0].sender], *steps))


def unreached_text(found: Hops) -> str:
    """Who is not reached, counted."""
    return f"not reached within {found.most}: {len(found.unreached)} of {len(found.endpoints)} endpoints"


def markdown(found: Hops) -> str:
    """For a comment or a page."""
    names = names_of(found)
    lines = [f"### {cell(said(found))}", "", "| hops | to | way |", "|---|---|---|"]
    for way in found.ways:
        row = str(len(way)), names[way[-1].receiver], way_text(way, names)
        lines.append(f"| {' | '.join(map(cell, row))} |")
    return "\n".join([*lines, "", f"{unreached_text(found)[0].upper()}{unreached_text(found)[1:]}."]) + "\n"


def csv_text(found: Hops) -> str:
    """A line for the last connection to each that is reached, and protocol: other lines lead there."""
    last = ((len(way), way[-1]) for way in found.ways)
    rows = (
        (str(hop), step.sender, step.receiver, protocol, numbers)
        for hop, step in last
        for protocol, numbers in by_protocol(step.allowed)
    )
    return csv_of(CSV_HEAD, rows)


def matrix_of(found: Hops) -> Matrix:
    """The connections by which others are reached, between those alone."""
    names = names_of(found)
    spaces = {each.id: each.namespace for each in found.endpoints}
    steps = [way[-1] for way in found.ways]
    ids = dict.fromkeys((*found.senders, *(step.receiver for step in steps)))
    ends = tuple(Line(id_, names[id_], spaces.get(id_, "")) for id_ in ids)
    cells = {
        (step.sender, step.receiver): Cell(
            print_ports(step.allowed), "all" if step.allowed == EVERYTHING else "some"
        )
        for step in steps
    }
    return Matrix(ends, ends, cells)
