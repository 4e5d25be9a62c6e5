"""A matrix as a table of Markdown, and all connections as CSV. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from policyd.ask.answers import OUTSIDE, print_numbers
from policyd.ask.blocks import print_blocks
from policyd.ask.reach import Reachability
from policyd.kube.syntax import printable
from policyd.render.matrix import Matrix, is_itself
from policyd_compiler.ports import PortSet

#: A page of a pull request is not wider.
MOST_COLUMNS = 12
CSV_HEAD = ("from", "to", "verdict", "protocol", "ports", "family", "addresses")
#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@")


def cell(text: str) -> str:
    """Text that Markdown leaves alone."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|~" else char for char in printable(text))


def markdown(matrix: Matrix, said: str) -> str:
    """A matrix if it is not too wide for a page, else a list; for a comment or a page."""
    lines = ["### Who may open a connection to whom", "", cell(said), ""]
    narrow = len(matrix.receivers) <= MOST_COLUMNS
    lines.extend(_matrix(matrix) if narrow else _list(matrix))
    wide = [each.name for each in matrix.receivers if each.id in matrix.wide_open]
    if wide:
        lines += ["", f"◉ lets all others in: {', '.join(map(cell, wide))}"]
    return "\n".join(lines) + "\n"


def _matrix(matrix: Matrix) -> Iterator[str]:
    names = (
        f"◉ **{cell(each.name)}**" if each.id in matrix.wide_open else cell(each.name)
        for each in matrix.receivers
    )
    yield f"| sends ↓ receives → | {' | '.join(names)} |"
    yield f"|---{'|---' * len(matrix.receivers)}|"
    for sender in matrix.senders:
        row = [cell(sender.name)]
        for receiver in matrix.receivers:
            found = matrix.cells.get((sender.id, receiver.id))
            row.append(cell(found.text) if found else "·" if is_itself(sender, receiver) else "")
        yield f"| {' | '.join(row)} |"


def _list(matrix: Matrix) -> Iterator[str]:
    """Who receives, with all who may send it the same."""
    yield "| to | ports | from |"
    yield "|---|---|---|"
    for receiver in matrix.receivers:
        others = {each.name for each in matrix.senders if each.id not in (receiver.id, OUTSIDE)}
        by_text: dict[str, list[str]] = {}
        for sender in matrix.senders:
            found = matrix.cells.get((sender.id, receiver.id))
            if found is not None:
                by_text.setdefault(found.text, []).append(sender.name)
        mark = "◉ " if receiver.id in matrix.wide_open else ""
        for text, names in by_text.items():
            if len(others) > 1 and others <= set(names):
                names = ["all others", *(name for name in names if name not in others)]  # noqa: PLW2901
            yield f"| {mark}{cell(receiver.name)} | {cell(text)} | {', '.join(map(cell, names))} |"


def csv_text(found: Reachability) -> str:
    """All that is allowed or unknown: a line for each pair, verdict and protocol, as RFC 4180 has it.

    What is in no line is denied.
    """
    return csv_of(CSV_HEAD, _rows(found))


def csv_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under their names; a spreadsheet takes every cell for nothing but text."""
    text = io.StringIO()
    written = csv.writer(text)
    written.writerow(head)
    for row in rows:
        written.writerow(tuple(map(_plain, row)))
    return text.getvalue()


def _rows(found: Reachability) -> Iterator[tuple[str, ...]]:
    for each in found.connections:
        for verdict, ports in (("allowed", each.judged.allowed), ("unknown", each.judged.unknown)):
            for protocol, numbers in by_protocol(ports):
                ends = each.sender.id, each.receiver.id
                yield *ends, verdict, protocol, numbers, str(each.family or ""), ""
    for entry in found.outside:
        ends = (OUTSIDE, entry.endpoint.id) if entry.inbound else (entry.endpoint.id, OUTSIDE)
        for protocol, numbers in by_protocol(entry.allowed):
            yield *ends, "allowed", protocol, numbers, str(entry.family), print_blocks([entry.block])


def by_protocol(ports: PortSet) -> Iterator[tuple[str, str]]:
    """Each protocol with its ports; `other`, which has none, stands for all other protocols."""
    for name, ranges in (("TCP", ports.tcp), ("UDP", ports.udp), ("SCTP", ports.sctp)):
        if numbers := print_numbers(ranges):
            yield name, numbers
    if ports.other:
        yield "other", ""


def _plain(text: str) -> str:
    """Text that a spreadsheet takes for nothing but text."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
