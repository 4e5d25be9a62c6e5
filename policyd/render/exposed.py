"""What is open to whoever comes, and what is published, as tables, and as a matrix for pictures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policyd.ask.exposure import TO, Exposed, Exposure
from policyd.ask.fits import place
from policyd.ask.ports import print_ports
from policyd.ask.published import Missing
from policyd.render.cells import Cell, Ends, short_names
from policyd.render.matrix import Line, Matrix
from policyd.render.tables import by_protocol, cell, csv_of
from policyd_compiler.ports import EVERYTHING

CSV_HEAD = ("endpoint", "to", "protocol", "ports", "rules")
#: In place of rules.
UNISOLATED = "no policy isolates it"


def rules_of(each: Exposed) -> tuple[str, ...]:
    """What opens it, in words."""
    return (*map(place, each.rules), *((UNISOLATED,) if each.unruled else ()))


def markdown(found: Exposure) -> str:
    """For a comment or a page."""
    return "\n".join(["### What is open to whoever comes", "", *_exposed(found), *_published(found)]) + "\n"


def _exposed(found: Exposure) -> Iterator[str]:
    names = short_names(found.endpoints)
    if found.exposed:
        yield from ("| open to | pods | ports | by |", "|---|---|---|---|")
    for each in found.exposed:
        by = "<br>".join(map(cell, rules_of(each)))
        row = TO[each.to], cell(names[each.endpoint.id]), cell(print_ports(each.ports)), by
        yield f"| {' | '.join(row)} |"
    if not found.exposed:
        yield "Nothing is open to every pod or to every address."
    yield ""
    yield f"Isolated in both directions: {len(found.isolated)} of {len(found.endpoints)}."
    unselected = ", ".join(cell(names[each]) for each in found.unselected)
    yield f"Selected by no policy: {unselected or 'none'}."


def _published(found: Exposure) -> Iterator[str]:
    names = short_names(found.endpoints)
    if found.published:
        yield from ("", "| published by | as | pods | port | of other namespaces may use it |")
        yield "|---|---|---|---|---|"
    for each in found.published:
        if isinstance(each, Missing):
            row = [each.by, each.service, missing(each), "", ""]
        else:
            who = [*each.senders, *(("addresses outside",) if each.outside else ())]
            hosts = f" ({', '.join(each.hosts)})" if each.hosts else ""
            pods = names[each.endpoint.id]
            row = [f"{each.by}{hosts}", each.service, pods, str(each.packet), ", ".join(who) or "nobody"]
        yield f"| {' | '.join(map(cell, row))} |"


def missing(each: Missing) -> str:
    """Why what leads to a Service does not reach it."""
    if each.granted:
        return "which is not among the objects"
    return "and does not reach it: no ReferenceGrant of that namespace among the objects lets it"


def csv_text(found: Exposure) -> str:
    """A line for each endpoint, to whom it is open, and protocol; not what is published."""
    rows = (
        (each.endpoint.id, each.to, protocol, numbers, "; ".join(rules_of(each)))
        for each in found.exposed
        for protocol, numbers in by_protocol(each.ports)
    )
    return csv_of(CSV_HEAD, rows)


def matrix_of(found: Exposure, wide_open: frozenset[str]) -> Matrix:
    """Rows are whoever comes, columns what is open to them."""
    names = short_names(found.endpoints)
    ends = {each.endpoint.id: each.endpoint for each in found.exposed}
    columns = tuple(Line(id_, names[id_], each.namespace) for id_, each in sorted(ends.items()))
    present = {each.to for each in found.exposed}
    rows = tuple(Line(to, words, "", many=True) for to, words in TO.items() if to in present)
    cells: dict[Ends, Cell] = {
        (each.to, each.endpoint.id): Cell(
            print_ports(each.ports), "all" if each.ports == EVERYTHING else "some"
        )
        for each in found.exposed
    }
    return Matrix(rows, columns, cells, wide_open)


def rules(found: Exposure) -> Mapping[Ends, tuple[str, ...]]:
    """What opens the cells of the matrix."""
    return {(each.to, each.endpoint.id): rules_of(each) for each in found.exposed}
