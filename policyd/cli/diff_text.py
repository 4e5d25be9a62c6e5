"""The answer of `policyd diff` for people, for a pull request, and as annotations of GitHub. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from policyd.ask.answers import OUTSIDE
from policyd.ask.blocks import print_blocks
from policyd.ask.diff import Change, Difference
from policyd.ask.fits import Reference, place
from policyd.ask.ports import print_ports
from policyd.ask.reach import Outside
from policyd.kube.syntax import printable
from policyd.render.cells import short_names

#: As everywhere, what opens has the colour that warns.
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
#: A sign, who sends, who receives, which ports, and which lines cause it.
Row = tuple[str, str, str, str, str]
#: Rules named at one change; the rest is counted.
_SHOWN = 2


def rows(found: Difference) -> list[Row]:
    """All that opens and closes, as text."""
    names = {**short_names([each.endpoint for each in found.endpoints]), OUTSIDE: OUTSIDE}
    made: list[Row] = []
    for sign, changes, outside in (
        ("+", found.opened, found.outside_opened),
        ("-", found.closed, found.outside_closed),
    ):
        made.extend(_of_change(sign, each, names) for each in changes)
        made.extend(_of_outside(sign, outside, names))
    return made


def _of_change(sign: str, change: Change, names: dict[str, str]) -> Row:
    family = f" (IPv{change.family})" if change.family else ""
    ends = names[change.sender.id], names[change.receiver.id]
    return sign, *ends, print_ports(change.ports) + family, _causes(change.rules)


def _of_outside(sign: str, found: Iterable[Outside], names: dict[str, str]) -> Iterator[Row]:
    grouped: dict[tuple[str, str, str], list[Outside]] = {}
    for each in found:
        ends = (OUTSIDE, names[each.endpoint.id]) if each.inbound else (names[each.endpoint.id], OUTSIDE)
        grouped.setdefault((*ends, print_ports(each.allowed)), []).append(each)
    for (sender, receiver, ports), members in grouped.items():
        whole = {each.block.cidr for each in members if not each.block.excepts}
        where = "" if whole == {"0.0.0.0/0", "::/0"} else print_blocks([each.block for each in members])
        yield sign, sender, receiver, ports, where


def _causes(rules: Sequence[Reference]) -> str:
    shown = [place(each) for each in rules[:_SHOWN]]
    more = [f"and {len(rules) - _SHOWN} more"] if len(rules) > _SHOWN else []
    return ", ".join([*shown, *more])


def title(found: Difference, table: Sequence[Row]) -> str:
    """How much changes, in a line; `table` are its rows."""
    signs = Counter(row[0] for row in table)
    isolations = len(found.isolation)
    sides = Counter(each.side for each in found.one_sided)
    parts = [f"{signs['+']} opened", f"{signs['-']} closed"]
    if isolations:
        parts.append(f"{isolations} isolated by other policies")
    if sides["new"]:
        parts.append(f"{sides['new']} new endpoint{'s' if sides['new'] > 1 else ''}")
    if sides["old"]:
        parts.append(f"{sides['old']} gone")
    return ", ".join(parts)


def diff_text(found: Difference, *, colored: bool) -> str:
    """For a terminal."""
    if found.empty:
        return "no difference: the same connections are allowed, by the same policies\n"
    table = rows(found)
    lines = [f"connectivity: {title(found, table)}"]
    printed = [tuple(map(printable, row)) for row in table]
    widths = [max((len(row[n]) for row in printed), default=0) for n in range(5)]
    for sign, sender, receiver, ports, cause in printed:
        cells = f"{sender:{widths[1]}} → {receiver:{widths[2]}}  {ports:{widths[3]}}  {cause}".rstrip()
        color = _RED if sign == "+" else _GREEN
        lines.append(f"{color}{sign} {cells}{_PLAIN}" if colored else f"{sign} {cells}")
    lines.extend(map(printable, notes(found)))
    return "\n".join(lines) + "\n"


def notes(found: Difference) -> list[str]:
    """What there is to say beside connections."""
    return [*_isolations(found), *_endpoints(found)]


def headline(found: Difference) -> str:
    """How much changes, in a line."""
    return "no difference" if found.empty else title(found, rows(found))


def _isolations(found: Difference) -> Iterator[str]:
    names = short_names([each.endpoint for each in found.endpoints])
    for each in found.isolation:
        old, new = (", ".join(side) or "nobody" for side in (each.old, each.new))
        yield f"{names[each.endpoint.id]} {each.direction}: isolated by {old} → {new}"


def _endpoints(found: Difference) -> Iterator[str]:
    for side, said in (("new", "new, so not compared"), ("old", "gone, so not compared")):
        ids = [each.endpoint.id for each in found.one_sided if each.side == side]
        if ids:
            yield f"{said}: {', '.join(ids)}"


def diff_markdown(found: Difference) -> str:
    """For a comment on a pull request."""
    table = rows(found)
    lines = [f"### Connectivity: {'no change' if found.empty else title(found, table)}", ""]
    if table:
        lines += ["| | from | to | ports | because of |", "|---|---|---|---|---|"]
        words = {"+": "🔴 opens", "-": "🟢 closes"}
        for sign, *cells in table:
            lines.append(f"| {words[sign]} | {' | '.join(map(_cell, cells))} |")
        lines.append("")
    lines.extend(f"- {_cell(each)}" for each in notes(found))
    return "\n".join(lines).rstrip("\n") + "\n"


def _cell(text: str) -> str:
    """Text that Markdown leaves alone."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|~" else char for char in printable(text))


def diff_github(found: Difference) -> str:
    """Workflow commands of GitHub Actions: an annotation at each line that causes a change."""
    names = short_names([each.endpoint for each in found.endpoints])
    lines: list[str] = []
    for verb, level, changes in (("opens", "warning", found.opened), ("closes", "notice", found.closed)):
        for change in changes:
            said = (
                f"{verb} {names[change.sender.id]} → {names[change.receiver.id]} {print_ports(change.ports)}"
            )
            rules = change.rules if change.side == "new" else ()
            places = [f" file={_property(each.file)},line={each.line}" for each in rules if each.file]
            lines.extend(f"::{level}{where}::{_data(printable(said))}" for where in places or [""])
    if not found.empty:
        lines.append(f"::notice::{_data(title(found, rows(found)))}")
    return "".join(f"{line}\n" for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
