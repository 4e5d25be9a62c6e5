"""Who may send whom what, as rows that send and columns that receive: what tables and pictures are made of.
Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from policyd.ask.answers import OUTSIDE
from policyd.ask.endpoints import Endpoint
from policyd.ask.reach import Reachability
from policyd.ask.world import World
from policyd.render.cells import Cell, Ends, cells_of, short_names
from policyd.render.groups import GROUPS

#: With fewer senders than this a column that all of them reach says nothing.
_FEW = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A row or a column. `name` is how people read it; `many`: it stands for several."""

    id: str
    name: str
    namespace: str
    many: bool = False


@dataclass(frozen=True)
class Matrix:
    """`cells` are those in which anything is allowed or unknown."""

    senders: tuple[Line, ...]
    receivers: tuple[Line, ...]
    cells: Mapping[Ends, Cell]

    @cached_property
    def wide_open(self) -> frozenset[str]:
        """The receivers that every other pod and workload here may send something."""
        found = set()
        for receiver in self.receivers:
            senders = [each for each in self.senders if each.id not in (receiver.id, OUTSIDE)]
            cells = [self.cells.get((sender.id, receiver.id)) for sender in senders]
            if len(cells) >= _FEW and receiver.id != OUTSIDE and all(map(_allows, cells)):
                found.add(receiver.id)
        return frozenset(found)


def is_itself(sender: Line, receiver: Line) -> bool:
    """Whether both are the same, which is no question."""
    return sender.id == receiver.id and not sender.many


def _allows(cell: Cell | None) -> bool:
    return cell is not None and cell.strength in ("all", "some")


def matrix_of(
    found: Reachability, senders: Collection[str] | None = None, receivers: Collection[str] | None = None
) -> Matrix:
    """The matrix of an answer; only of those named, by ids."""
    return Matrix(lines(found.endpoints, senders), lines(found.endpoints, receivers), cells_of(found))


def lines(endpoints: Sequence[Endpoint], ids: Collection[str] | None) -> tuple[Line, ...]:
    """The rows or columns of these endpoints, and of addresses outside."""
    names = short_names(endpoints)
    made = [Line(each.id, names[each.id], each.namespace, many=each.kind in GROUPS) for each in endpoints]
    made.append(Line(OUTSIDE, OUTSIDE, ""))
    return tuple(line for line in made if ids is None or line.id in ids)


def summary(world: World) -> str:
    """What a picture is of, in a line."""
    policies, ends = len(world.policies), len(world.endpoints)
    counted = "1 pod or workload" if ends == 1 else f"{ends} pods and workloads"
    written = f"{policies} polic{'y' if policies == 1 else 'ies'}"
    return f"{counted}, {written}: rows send, columns receive"
