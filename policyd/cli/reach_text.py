"""The answers of `policyd reach` for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policyd.ask.answers import OUTSIDE
from policyd.ask.exposure import TO, Exposed, Exposure
from policyd.ask.hops import Hops
from policyd.ask.ports import print_ports
from policyd.ask.published import Missing, Published
from policyd.ask.reach import Reachability
from policyd.kube.syntax import printable
from policyd.render.cells import cells_of, short_names
from policyd.render.exposed import missing, rules_of
from policyd.render.matrix import Matrix, is_itself
from policyd.render.ways import names_of, unreached_text, way_text

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


def exposure_text(found: Exposure) -> str:
    """What is open to whoever comes: to every pod, also of namespaces to come, or to every address."""
    lines: list[str] = []
    names = short_names(found.endpoints)
    groups: dict[str, list[Exposed]] = {}
    for each in found.exposed:
        groups.setdefault(each.to, []).append(each)
    for to, exposed in groups.items():
        lines.append(f"open to {TO[to]}:")
        for each in exposed:
            by = "; ".join(map(printable, rules_of(each)))
            lines.append(f"  {names[each.endpoint.id]}  {print_ports(each.ports)}  {by}")
    if not lines:
        lines.append("nothing is open to every pod or to every address")
    lines.append(f"isolated in both directions: {len(found.isolated)} of {len(found.endpoints)} endpoints")
    lines.append(f"selected by no policy: {', '.join(names[each] for each in found.unselected) or 'none'}")
    lines.extend(map(printable, _published(found.published, names)))
    return "\n".join(lines) + "\n"


def _published(found: Sequence[Published | Missing], names: dict[str, str]) -> Iterator[str]:
    """What Services, Ingress and routes publish, and who may come by that way."""
    if found:
        yield "published to the outside, and who may use it beside its own namespace:"
    for each in found:
        if isinstance(each, Missing):
            yield f"  {each.by} leads to {each.service}, {missing(each)}"
            continue
        senders = [names.get(name, name) for name in each.senders[:_NAMED]]
        senders += [f"{len(each.senders) - _NAMED} more"] if len(each.senders) > _NAMED else []
        senders += ["addresses outside"] if each.outside else []
        hosts = f" ({', '.join(each.hosts)})" if each.hosts else ""
        who = (
            ", ".join(senders) or "nobody: what publishes it cannot reach it, unless it is on the pods' node"
        )
        yield f"  {names[each.endpoint.id]} {each.packet}  by {each.by}{hosts} as {each.service}  ← {who}"


def hops_text(found: Hops) -> str:
    """Whom somebody reaches over several connections, and by which way."""
    names = names_of(found)
    lines = [f"{len(way)}  {way_text(way, names)}" for way in found.ways]
    return "\n".join(map(printable, (*lines, unreached_text(found)))) + "\n"
