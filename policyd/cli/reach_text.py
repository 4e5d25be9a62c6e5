"""The answers of `policyd reach` for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policyd.ask.blocks import print_blocks
from policyd.ask.endpoints import Endpoint
from policyd.ask.exposure import Exposed, exposures
from policyd.ask.ports import print_ports
from policyd.ask.reach import Connection, Outside, Reachability, connections, outside
from policyd.ask.world import World
from policyd.kube.syntax import printable
from policyd_compiler.ports import PortSet

OUTSIDE = "outside"
ITSELF = "·"
NOTHING = "-"
_OPEN, _ASKED, _PLAIN = "\x1b[33m", "\x1b[36m", "\x1b[0m"


def table_text(
    found: Reachability,
    senders: frozenset[str] | None,
    receivers: frozenset[str] | None,
    *,
    colored: bool,
) -> str:
    """A matrix: who sends in rows, who receives in columns."""
    names = short_names(found.endpoints)
    rows = [(e.id, names[e.id]) for e in found.endpoints if senders is None or e.id in senders]
    columns = [(e.id, names[e.id]) for e in found.endpoints if receivers is None or e.id in receivers]
    if senders is None or OUTSIDE in senders:
        rows.append((OUTSIDE, OUTSIDE))
    if receivers is None or OUTSIDE in receivers:
        columns.append((OUTSIDE, OUTSIDE))
    cells = _cells(found)
    table = [["sends ↓  receives →", *(name for _, name in columns)]]
    for sender, name in rows:
        line = [
            cells.get((sender, receiver), ITSELF if sender == receiver else NOTHING)
            for receiver, _ in columns
        ]
        table.append([name, *line])
    return _print(table, colored=colored)


def _cells(found: Reachability) -> dict[tuple[str, str], str]:
    cells: dict[tuple[str, str], list[str]] = {}
    for each in found.connections:
        family = f" v{each.family}" if each.family else ""
        cells.setdefault((each.sender.id, each.receiver.id), []).append(_ports(each) + family)
    for (ends, ports), families in _outside_by_ports(found.outside).items():
        cells.setdefault(ends, []).append(f"{print_ports(ports)}{_limits(families)}")
    return {ends: ", ".join(texts) for ends, texts in cells.items()}


def _ports(connection: Connection) -> str:
    judged = connection.judged
    texts = [print_ports(judged.allowed)] if judged.allowed else []
    if judged.unknown:
        texts.append(f"?{print_ports(judged.unknown).replace(' ', ' ?')}")
    return " ".join(texts)


def _outside_by_ports(
    found: Iterable[Outside],
) -> dict[tuple[tuple[str, str], PortSet], dict[int, list[Outside]]]:
    grouped: dict[tuple[tuple[str, str], PortSet], dict[int, list[Outside]]] = {}
    for each in found:
        ends = (OUTSIDE, each.endpoint.id) if each.inbound else (each.endpoint.id, OUTSIDE)
        grouped.setdefault((ends, each.allowed), {}).setdefault(each.family, []).append(each)
    return grouped


def _limits(families: dict[int, list[Outside]]) -> str:
    """Which addresses, if it is not all of both families."""
    everything = {4: "0.0.0.0/0", 6: "::/0"}
    texts = []
    for family, found in families.items():
        blocks = [each.block for each in found]
        if [(b.cidr, b.excepts) for b in blocks] != [(everything[family], ())]:
            if len(blocks) == 1 and blocks[0].cidr == everything[family]:
                texts.append(f"not {', '.join(blocks[0].excepts)}")
            elif len(blocks) <= 2:
                texts.append(print_blocks(blocks))
            else:
                texts.append(f"{print_blocks(blocks[:2])} and {len(blocks) - 2} more")
    if len(families) == 1:
        texts.append(f"v{next(iter(families))} only")
    return f" ({', '.join(texts)})" if texts else ""


def short_names(endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """`shop/web` where that is only one, else the id."""
    counts: dict[str, int] = {}
    for each in endpoints:
        name = f"{each.namespace}/{each.name}"
        counts[name] = counts.get(name, 0) + 1
    return {
        each.id: each.id if counts[f"{each.namespace}/{each.name}"] > 1 else f"{each.namespace}/{each.name}"
        for each in endpoints
    }


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
    for (sender, receiver), text in _cells(found).items():
        by_receiver.setdefault(receiver, []).append((names[sender], text))
    lines: list[str] = []
    for receiver in (*(each.id for each in found.endpoints), OUTSIDE):
        rows = by_receiver.get(receiver)
        if rows:
            lines.append(f"{names[receiver]}")
            width = max(len(name) for name, _ in rows)
            for name, text in sorted(rows):
                cell = printable(text)
                lines.append(f"  ← {name:{width}}  {_paint(cell) if colored else cell}")
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
    return "\n".join(lines) + "\n"


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
