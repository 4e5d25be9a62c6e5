"""What one may send another, as the text of a cell, and how much that is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd.ask.answers import OUTSIDE
from policyd.ask.blocks import print_blocks
from policyd.ask.endpoints import Endpoint
from policyd.ask.ports import print_ports
from policyd.ask.reach import Connection, Outside, Reachability
from policyd_compiler.ports import EVERYTHING, PortSet

#: How much is allowed: all ports, some, none that is sure, none at all.
Strength: TypeAlias = Literal["all", "some", "unknown", "none"]
#: What a change of policies does to a cell.
ChangeName: TypeAlias = Literal["", "opened", "closed", "both"]
#: Who sends, and who receives: ids of endpoints, or OUTSIDE.
Ends: TypeAlias = tuple[str, str]
_WHOLE = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Cell:
    """`text` as `8080 ?udp/53`; a question mark is before what the objects do not decide.

    `change`: of a comparison, what happens; `text` says of which ports, `strength` is what is allowed now.
    """

    text: str
    strength: Strength
    change: ChangeName = ""


def short_names(endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """`shop/web` where that is only one, else the id."""
    names = {each.id: f"{each.namespace}/{each.name}" if each.namespace else each.name for each in endpoints}
    counts: dict[str, int] = {}
    for name in names.values():
        counts[name] = counts.get(name, 0) + 1
    return {id_: id_ if counts[name] > 1 else name for id_, name in names.items()}


def cells_of(found: Reachability) -> dict[Ends, Cell]:
    """The cells of all pairs that may send anything. Of the others nothing is allowed."""
    parts: dict[Ends, list[Cell]] = {}
    for each in found.connections:
        parts.setdefault((each.sender.id, each.receiver.id), []).append(_of_connection(each))
    for ends, cell in outside_cells(found.outside):
        parts.setdefault(ends, []).append(cell)
    return {ends: _together(cells) for ends, cells in parts.items()}


def outside_cells(found: Iterable[Outside]) -> Iterator[tuple[Ends, Cell]]:
    """Who may send what to, or receive from, addresses outside; a cell for each set of ports."""
    for (ends, ports), families in _outside_by_ports(found).items():
        yield ends, _of_outside(ports, families)


def _together(cells: list[Cell]) -> Cell:
    """One cell of what is said of each family, or of several blocks of addresses."""
    strengths = {cell.strength for cell in cells}
    strength: Strength = "unknown" if strengths == {"unknown"} else "some"
    if strengths == {"all"}:
        strength = "all"
    return Cell(", ".join(cell.text for cell in cells), strength)


def _of_connection(connection: Connection) -> Cell:
    judged = connection.judged
    texts = [print_ports(judged.allowed)] if judged.allowed else []
    if judged.unknown:
        texts.append(_print_unknown(judged.unknown))
    if connection.family:
        texts.append(f"v{connection.family}")
    strength: Strength = "some" if judged.allowed else "unknown"
    return Cell(" ".join(texts), "all" if judged.allowed == EVERYTHING else strength)


def _print_unknown(ports: PortSet) -> str:
    """A question mark before each protocol, or before all of it."""
    text = print_ports(ports)
    return f"?{text}" if text.startswith("all") else f"?{text.replace(' ', ' ?')}"


def _of_outside(ports: PortSet, families: Mapping[int, Sequence[Outside]]) -> Cell:
    limits = _limits(families)
    whole = ports == EVERYTHING and all(
        _is_whole(family, [each]) for family, found in families.items() for each in found
    )
    return Cell(print_ports(ports) + limits, "all" if whole else "some")


def _outside_by_ports(found: Iterable[Outside]) -> dict[tuple[Ends, PortSet], dict[int, list[Outside]]]:
    grouped: dict[tuple[Ends, PortSet], dict[int, list[Outside]]] = {}
    for each in found:
        ends = (OUTSIDE, each.endpoint.id) if each.inbound else (each.endpoint.id, OUTSIDE)
        grouped.setdefault((ends, each.allowed), {}).setdefault(each.family, []).append(each)
    return grouped


def _is_whole(family: int, found: Sequence[Outside]) -> bool:
    return [(each.block.cidr, each.block.excepts) for each in found] == [(_WHOLE[family], ())]


def _limits(families: Mapping[int, Sequence[Outside]]) -> str:
    """Which addresses, if it is not all of both families."""
    texts = []
    for family, found in families.items():
        blocks = [each.block for each in found]
        if not _is_whole(family, found):
            if len(blocks) == 1 and blocks[0].cidr == _WHOLE[family]:
                texts.append(f"not {', '.join(blocks[0].excepts)}")
            elif len(blocks) <= 2:
                texts.append(print_blocks(blocks))
            else:
                texts.append(f"{print_blocks(blocks[:2])} and {len(blocks) - 2} more")
    if len(families) == 1:
        texts.append(f"v{next(iter(families))} only")
    return f" ({', '.join(texts)})" if texts else ""
