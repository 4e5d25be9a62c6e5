"""Who may send whom what, as rows that send and columns that receive: what tables and pictures are made of.
Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd.ask.answers import OUTSIDE
from policyd.ask.endpoints import Endpoint
from policyd.ask.reach import Reachability
from policyd.ask.world import World
from policyd.render.cells import Cell, Ends, cells_of, short_names
from policyd.render.groups import GROUPS

#: How a cell is drawn; `kept`: of a comparison, allowed as before.
Kind: TypeAlias = Literal["all", "some", "unknown", "none", "itself", "opened", "closed", "both", "kept"]


@dataclass(frozen=True, slots=True)
class Line:
    """A row or a column. `name` is how people read it; `many`: it stands for several."""

    id: str
    name: str
    namespace: str
    many: bool = False


@dataclass(frozen=True)
class Matrix:
    """`cells` are those in which anything is allowed or unknown; `wide_open`: who lets all others in.

    Of a comparison, `now` is what is allowed now, and `wide_open` who newly lets all others in.
    """

    senders: tuple[Line, ...]
    receivers: tuple[Line, ...]
    cells: Mapping[Ends, Cell]
    wide_open: frozenset[str] = frozenset()
    now: Mapping[Ends, Cell] | None = None

    def kind(self, sender: Line, receiver: Line) -> Kind:
        """What a cell is, for its colour and its mark."""
        cell = self.cells.get((sender.id, receiver.id))
        if cell is None:
            return "itself" if is_itself(sender, receiver) else "none"
        return cell.strength if self.now is None else cell.change or "kept"

    @property
    def told(self) -> str:
        """Who lets all others in, in words."""
        names = [each.name for each in self.receivers if each.id in self.wide_open]
        newly = "" if self.now is None else "now "
        if not names:
            return f"nothing here {newly}lets all others in"
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{newly}lets all others in: {', '.join(names[:3])}{more}"


def is_itself(sender: Line, receiver: Line) -> bool:
    """Whether both are the same, which is no question."""
    return sender.id == receiver.id and not sender.many


def column_names(matrix: Matrix) -> dict[str, str]:
    """By id, the names over columns: without the namespace, if there is only one."""
    one = len({each.namespace for each in matrix.receivers if each.namespace}) == 1
    return {
        each.id: each.name.removeprefix(f"{each.namespace}/") if one else each.name
        for each in matrix.receivers
    }


def matrix_of(
    found: Reachability,
    senders: Collection[str] | None = None,
    receivers: Collection[str] | None = None,
    wide_open: frozenset[str] = frozenset(),
) -> Matrix:
    """The matrix of an answer; only of those named, by ids."""
    rows, columns = lines(found.endpoints, senders), lines(found.endpoints, receivers)
    return Matrix(rows, columns, cells_of(found), wide_open)


def lines(endpoints: Sequence[Endpoint], ids: Collection[str] | None) -> tuple[Line, ...]:
    """The rows or columns of these endpoints, and of addresses outside."""
    names = short_names(endpoints)
    made = [Line(each.id, names[each.id], each.namespace, many=each.kind in GROUPS) for each in endpoints]
    made.append(Line(OUTSIDE, OUTSIDE, ""))
    return tuple(line for line in made if ids is None or line.id in ids)


def summary(world: World) -> str:
    """What a picture is of, in a line."""
    return f"{counted(world)}: rows send, columns receive"


def counted(world: World) -> str:
    """How much there is in a world."""
    policies, ends = len(world.policies), len(world.endpoints)
    many = "1 pod or workload" if ends == 1 else f"{ends} pods and workloads"
    return f"{many}, {policies} polic{'y' if policies == 1 else 'ies'}"
