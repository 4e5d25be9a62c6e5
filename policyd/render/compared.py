"""What a change opens and closes, as a matrix: cells say what changes, or what is allowed as before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from policyd.ask.diff import Change, Difference
from policyd.ask.fits import Reference
from policyd.ask.ports import print_ports
from policyd.ask.reach import Outside, Reachability
from policyd.render.cells import Cell, ChangeName, Ends, cells_of, outside_cells
from policyd.render.matrix import Matrix, lines

#: In front of ports that open, and of those that close.
OPENS, CLOSES = "+", "−"


def compared(found: Difference, now: Reachability, wide_open: frozenset[str] = frozenset()) -> Matrix:
    """The matrix of the endpoints that are on both sides. `now`: the new side; `wide_open`: who newly is."""
    both = [each.endpoint for each in found.endpoints if each.side == "both"]
    ends = lines(both, None)
    known = cells_of(now)
    opened = _texts(found.opened, found.outside_opened, OPENS)
    closed = _texts(found.closed, found.outside_closed, CLOSES)
    cells = dict(known)
    for pair in opened.keys() | closed.keys():
        text = " ".join((*opened.get(pair, ()), *closed.get(pair, ())))
        change: ChangeName = "opened" if pair in opened else "closed"
        change = "both" if pair in opened and pair in closed else change
        strength = known[pair].strength if pair in known else "none"
        cells[pair] = Cell(text, strength, change)
    return Matrix(ends, ends, cells, wide_open, known)


def _texts(changes: Iterable[Change], outside: Iterable[Outside], sign: str) -> dict[Ends, list[str]]:
    texts: dict[Ends, list[str]] = {}
    for each in changes:
        family = f" v{each.family}" if each.family else ""
        ends = each.sender.id, each.receiver.id
        texts.setdefault(ends, []).append(f"{sign}{print_ports(each.ports)}{family}")
    for ends, cell in outside_cells(outside):
        texts.setdefault(ends, []).append(f"{sign}{cell.text}")
    return texts


def only_changed(matrix: Matrix) -> Matrix:
    """The same with the rows and columns in which anything changes."""
    pairs = [ends for ends, cell in matrix.cells.items() if cell.change]
    senders, receivers = ({pair[n] for pair in pairs} for n in (0, 1))
    return replace(
        matrix,
        senders=tuple(each for each in matrix.senders if each.id in senders),
        receivers=tuple(each for each in matrix.receivers if each.id in receivers),
    )


def causes(found: Difference) -> Iterator[tuple[Ends, str, str, Sequence[Reference]]]:
    """By pair: the side, what changes, and the rules that allow it there."""
    for change in (*found.opened, *found.closed):
        family = f" (IPv{change.family})" if change.family else ""
        ends = change.sender.id, change.receiver.id
        yield ends, change.side, print_ports(change.ports) + family, change.rules
    for side, entries in (("new", found.outside_opened), ("old", found.outside_closed)):
        for ends, cell in outside_cells(entries):
            yield ends, side, cell.text, ()
