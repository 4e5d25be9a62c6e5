"""A matrix as a graph, in the languages of Graphviz and of Mermaid; namespaces are boxes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from policyd.kube.syntax import printable
from policyd.render.cells import Strength
from policyd.render.colors import LIGHT
from policyd.render.matrix import Line, Matrix

#: How an edge looks: of all ports, of some, of what is not decided.
_DOT: Mapping[Strength, str] = {
    "all": f'color="{LIGHT["wide"]}", penwidth=2',
    "some": f'color="{LIGHT["closed"]}"',
    "unknown": f'color="{LIGHT["on-unknown"]}", style=dashed',
}
_MERMAID: Mapping[Strength, str] = {"all": "==>", "some": "-->", "unknown": "-.->"}
#: What would end a text of Mermaid, or mean something in it or in HTML, as its own entities.
_ENTITIES = {ord(char): f"#{ord(char)};" for char in "#\"&<>`\\'|{}[]()*_~;"}


def dot(matrix: Matrix, said: str) -> str:
    """For Graphviz: `policyd reach ... -o dot | dot -Tsvg`."""
    numbers = _numbers(matrix)
    lines = [
        "digraph reach {",
        f"  label={_dot(said)};",
        "  rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    for number, (namespace, members) in enumerate(_by_namespace(numbers)):
        box = bool(namespace)
        if box:
            lines += [f"  subgraph cluster_{number} {{", f"    label={_dot(namespace)};"]
        for line in members:
            wide = line.id in matrix.wide_open
            mark = f', fillcolor="{LIGHT["all"]}"' if wide else ""
            name = f"◉ {line.name}" if wide else line.name
            lines.append(f"  {'  ' * box}n{numbers[line]} [label={_dot(name)}{mark}];")
        if box:
            lines.append("  }")
    for sender, receiver, text, strength in _edges(matrix):
        ends = f"n{numbers[sender]} -> n{numbers[receiver]}"
        lines.append(f"  {ends} [label={_dot(text)}, {_DOT[strength]}];")
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(matrix: Matrix, said: str) -> str:
    """For Mermaid, as GitHub and GitLab draw it in Markdown. Thick is all ports, dashed is not decided."""
    numbers = _numbers(matrix)
    lines = [f"%% {_mermaid(said)}", "flowchart LR"]
    for number, (namespace, members) in enumerate(_by_namespace(numbers)):
        if namespace:
            lines.append(f'  subgraph s{number}["{_mermaid(namespace)}"]')
        for line in members:
            mark = "◉ " if line.id in matrix.wide_open else ""
            lines.append(f'  {"  " * bool(namespace)}n{numbers[line]}["{mark}{_mermaid(line.name)}"]')
        if namespace:
            lines.append("  end")
    for sender, receiver, text, strength in _edges(matrix):
        arrow = f'{_MERMAID[strength]}|"{_mermaid(text)}"|'
        lines.append(f"  n{numbers[sender]} {arrow} n{numbers[receiver]}")
    wide = [f"n{number}" for line, number in numbers.items() if line.id in matrix.wide_open]
    if wide:
        lines.append(f"  classDef wide fill:{LIGHT['all']},color:{LIGHT['on-all']}")
        lines.append(f"  class {','.join(wide)} wide")
    return "\n".join(lines) + "\n"


def _numbers(matrix: Matrix) -> dict[Line, int]:
    """All rows and columns, each by a number, so that no name is an identifier."""
    ends = dict.fromkeys((*matrix.senders, *matrix.receivers))
    return {line: number for number, line in enumerate(ends)}


def _by_namespace(lines: Iterable[Line]) -> Iterator[tuple[str, list[Line]]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.namespace, []).append(line)
    yield from found.items()


def _edges(matrix: Matrix) -> Iterator[tuple[Line, Line, str, Strength]]:
    for sender in matrix.senders:
        for receiver in matrix.receivers:
            cell = matrix.cells.get((sender.id, receiver.id))
            if cell is not None:
                yield sender, receiver, cell.text, cell.strength


def _dot(text: str) -> str:
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mermaid(text: str) -> str:
    return printable(text).translate(_ENTITIES)
