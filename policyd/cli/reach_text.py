"""The answers of `policyd reach` for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policyd.ask.answers import OUTSIDE
from policyd.ask.exposure import Exposed, exposures
from policyd.ask.ports import print_ports
from policyd.ask.published import Missing, published
from policyd.ask.reach import Reachability, connections, outside
from policyd.ask.world import World
from policyd.kube.syntax import printable
from policyd.render.cells import cells_of, short_names
from policyd.render.matrix import Matrix, is_itself
from policyd_compiler.ports import PortSet

ITSELF = "·"
NOTHING = "-"
#: Names in a line; the rest is counted.
_NAMED = 6
_OPEN, _ASKED, _PLAIN = "\x1b[33m", "\x1b[36m", "\x1b[0m"


def table_text(matrix: Matrix, *, colored: bool) -> str:
    """A matrix: who sends in rows, who receives in columns."""
    table = [["sends ↓  receives →", *(each.name for each in matrix.receivers)]]
    for sender in matrix.senders:
        line = [sender.name]
        for receiver in matrix.receivers:
            cell = matrix.cells.get((sender.id, receiver.id))
            nothing = ITSELF if is_itself(sender, receiver) else NOTHING
            line.append(cell.text if cell is not None else nothing)
        table.append(line)
    return _print(table, colored=colored)


def _print(table: list[list[str]], *, colored: bool) -> str:
    clean = [[printable(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    lines = []
    for number, row in enumerate(clean):
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        painted = [cells[0], *(_paint(cell) for cell in cells[1:])] if colored and number else cells
        lines.append("  ".join(painted).rstrip())
    return "\n".join(lines) + "\n"


def _paint(cell: str) -> str:
    if cell.startswith("all"):
        return f"{_OPEN}{cell}{_PLAIN}"
    return f"{_ASKED}{cell}{_PLAIN}" if "?" in cell else cell


def list_text(found: Reachability, *, colored: bool) -> str:
    """Who receives, and below it from whom."""
    names = {**short_names(found.endpoints), OUTSIDE: OUTSIDE}
    by_receiver: dict[str, list[tuple[str, str]]] = {}
    for (sender, receiver), cell in cells_of(found).items():
        by_receiver.setdefault(receiver, []).append((names[sender], cell.text))
    lines: list[str] = []
    for receiver in (*(each.id for each in found.endpoints), OUTSIDE):
        rows = by_receiver.get(receiver)
        if rows:
            lines.append(f"{names[receiver]}")
            width = max(len(name) for name, _ in rows)
            for name, text in sorted(rows):
                shown = printable(text)
                lines.append(f"  ← {name:{width}}  {_paint(shown) if colored else shown}")
    return "\n".join(lines or ["nothing is allowed"]) + "\n"


def exposure(world: World) -> str:
    """What is open to whoever comes: to every pod, also of namespaces to come, or to every address."""
    lines: list[str] = []
    names = short_names(world.endpoints)
    groups: dict[str, list[Exposed]] = {}
    for each in exposures(world):
        groups.setdefault(each.to, []).append(each)
    for to, found in groups.items():
        lines.append(f"open to {to}:")
        for each in found:
            by = "; ".join(map(printable, each.by)) or "no policy isolates it"
            lines.append(f"  {names[each.endpoint.id]}  {print_ports(each.ports)}  {by}")
    isolated = sum(all(gate is not None for gate in _gates(world, n)) for n in range(len(world.endpoints)))
    free = [e.id for n, e in enumerate(world.endpoints) if not any(_gates(world, n))]
    lines.append(f"isolated in both directions: {isolated} of {len(world.endpoints)} endpoints")
    lines.append(f"selected by no policy: {', '.join(names[each] for each in free) or 'none'}")
    lines.extend(map(printable, _published(world, names)))
    return "\n".join(lines) + "\n"


def _published(world: World, names: dict[str, str]) -> Iterator[str]:
    """What Services, Ingress and routes publish, and who may come by that way."""
    found = published(world)
    if found:
        yield "published to the outside, and who may use it beside its own namespace:"
    for each in found:
        if isinstance(each, Missing):
            yield f"  {each.by} leads to {each.service}, which is not among the objects"
            continue
        senders = [names[name] for name in each.senders[:_NAMED]]
        senders += [f"{len(each.senders) - _NAMED} more"] if len(each.senders) > _NAMED else []
        senders += ["addresses outside"] if each.outside else []
        hosts = f" ({', '.join(each.hosts)})" if each.hosts else ""
        who = (
            ", ".join(senders) or "nobody: what publishes it cannot reach it, unless it is on the pods' node"
        )
        yield f"  {names[each.endpoint.id]} {each.packet}  by {each.by}{hosts} as {each.service}  ← {who}"


def _gates(world: World, number: int) -> Iterator[object]:
    mask = world.hosts[number]
    for bit in range(mask.bit_length()):
        if mask >> bit & 1:
            yield world.gates.ingress[bit]
            yield world.gates.egress[bit]


def hops(world: World, senders: Sequence[str], most: int, ports: PortSet | None) -> str:
    """Whom somebody reaches over several connections, and by which way; breadth first."""
    onward: dict[str, list[tuple[str, PortSet]]] = {}
    every = [
        *((each.sender.id, each.receiver.id, each.judged.allowed) for each in connections(world)),
        *((OUTSIDE, each.endpoint.id, each.allowed) for each in outside(world) if each.inbound),
    ]
    for sender, receiver, found in every:
        allowed = found if ports is None else found & ports
        if allowed:
            onward.setdefault(sender, []).append((receiver, allowed))
    names = {**short_names(world.endpoints), OUTSIDE: OUTSIDE}
    ways: dict[str, tuple[str, ...]] = {sender: (names[sender],) for sender in senders}
    lines: list[str] = []
    here = list(senders)
    for hop in range(1, most + 1):
        there: list[str] = []
        for sender in here:
            for receiver, allowed in onward.get(sender, ()):
                if receiver in ways:
                    continue
                ways[receiver] = (*ways[sender], f"{names[receiver]} ({print_ports(allowed)})")
                there.append(receiver)
                lines.append(f"{hop}  {' → '.join(ways[receiver])}")
        here = there
    rest = len(world.endpoints) - len(ways.keys() - {OUTSIDE})
    lines.append(f"not reached within {most}: {rest} of {len(world.endpoints)} endpoints")
    return "\n".join(map(printable, lines)) + "\n"
