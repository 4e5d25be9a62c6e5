"""A matrix as a page: one file, which asks nothing of any network. A click on a cell says why. Pure.

Its script and style stand in it; the page's own policy names their hashes, so that no other script runs,
whatever a manifest says, and nothing is fetched. Text from manifests is JSON in a block that is not run, and
the script puts it in as text.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import Any, TypeAlias

from policyd.ask.answers import OUTSIDE
from policyd.ask.diff import Difference
from policyd.ask.endpoints import Endpoint
from policyd.ask.fits import place
from policyd.ask.world import World
from policyd.kube.syntax import printable
from policyd.render.cells import Cell, Ends
from policyd.render.colors import DARK, LIGHT
from policyd.render.compared import causes
from policyd.render.matrix import Line, Matrix, column_names, lines
from policyd.render.reasons import reasons
from policyd.render.svg import DIFFERENCE, EXPOSURE, LEGEND, MOST_WITH_TEXT, TITLE

Json: TypeAlias = dict[str, Any]
#: Rules named at one change; the rest is counted.
_MOST_RULES = 6
GROUPED = "What at least one of the first may send at least one of the second. Without --by each has its why."


def page(matrix: Matrix, said: str, world: World, *, grouped: bool = False) -> str:
    """The page; its cells say why unless rows and columns are groups."""
    return document(TITLE, said, _data(matrix, world, grouped=grouped))


def exposure_page(matrix: Matrix, said: str, rules: Mapping[Ends, Sequence[str]]) -> str:
    """The page of what is open to whoever comes; its cells name the rules that open them."""
    data = _data_of_groups(matrix)
    numbers = {each["id"]: number for number, each in enumerate(data["ends"])}
    named = {
        f"{numbers[sender]},{numbers[receiver]}": [printable(each) for each in by]
        for (sender, receiver), by in rules.items()
    }
    return document(EXPOSURE, said, data | {"rules": named})


def difference_page(matrix: Matrix, said: str, world: World, found: Difference, notes: Sequence[str]) -> str:
    """The page of a comparison: what changes, by which rules, and why, in `world`, which is the new one."""
    data = _data(matrix, world, grouped=False)
    numbers = {each["id"]: number for number, each in enumerate(data["ends"])}
    changes: dict[str, list[Json]] = {}
    for ends, side, text, rules in causes(found):
        key = ",".join(str(numbers[each]) for each in ends)
        by = [printable(place(each)) for each in rules[:_MOST_RULES]]
        by += [f"and {len(rules) - _MOST_RULES} more"] if len(rules) > _MOST_RULES else []
        changes.setdefault(key, []).append({"side": side, "text": printable(text), "by": by})
    return document(DIFFERENCE, said, data | {"changes": changes}, notes)


def _data(matrix: Matrix, world: World, *, grouped: bool) -> Json:
    if grouped:
        return _data_of_groups(matrix)
    return _data_of(matrix, _ends(world)) | {"why": reasons(world)}


def _data_of_groups(matrix: Matrix) -> Json:
    """Of rows and columns that say nothing of why."""
    groups = dict.fromkeys((*matrix.senders, *matrix.receivers))
    return _data_of(matrix, [_group(line) for line in groups]) | {"grouped": GROUPED, "why": None}


def _data_of(matrix: Matrix, ends: list[Json]) -> Json:
    outside = next((number for number, each in enumerate(ends) if each["id"] == OUTSIDE), -1)
    return _matrix(matrix, {each["id"]: number for number, each in enumerate(ends)}) | {
        "ends": ends,
        "outside": outside,
    }


def _ends(world: World) -> list[Json]:
    """All endpoints, numbered as `reasons` does."""
    made = []
    for line, endpoint in zip(lines(world.endpoints, None), (*world.endpoints, None), strict=True):
        made.append(_group(line) if endpoint is None else _end(world, line, endpoint))
    return made


def _end(world: World, line: Line, endpoint: Endpoint) -> Json:
    labels = dict(endpoint.labels)
    namespace = world.namespaces.get(endpoint.namespace)
    words = [line.id, *(f"{key}={value}" for key, value in labels.items())]
    return {
        **_group(line),
        "labels": labels,
        "namespaceLabels": dict(namespace.labels) if namespace else None,
        "search": " ".join(words).lower(),
    }


def _group(line: Line) -> Json:
    name = printable(line.name)
    return {
        "id": line.id,
        "name": name,
        "namespace": line.namespace,
        "many": line.many,
        "search": name.lower(),
    }


def _matrix(matrix: Matrix, numbers: Mapping[str, int]) -> Json:
    """Rows and columns by number, and cells as runs of numbers of answers, of which 0 is nothing."""
    answers: dict[tuple[str, Cell | None, Cell | None], int] = {("none", None, None): 0}
    now = matrix.now or {}
    cells = []
    for sender in matrix.senders:
        found = []
        for receiver in matrix.receivers:
            pair = sender.id, receiver.id
            kind = "none" if pair not in matrix.cells else matrix.kind(sender, receiver)
            key = kind, matrix.cells.get(pair), now.get(pair)
            found.append(answers.setdefault(key, len(answers)))
        cells.append([number for each, run in groupby(found) for number in (each, len(list(run)))])
    return {
        "rows": [numbers[each.id] for each in matrix.senders],
        "columns": [numbers[each.id] for each in matrix.receivers],
        "wide": [numbers[each.id] for each in matrix.receivers if each.id in matrix.wide_open],
        "cells": cells,
        "short": {numbers[id_]: printable(name) for id_, name in column_names(matrix).items()},
        "answers": [_answer(kind, cell, after, matrix) for kind, cell, after in answers],
    }


def _answer(kind: str, cell: Cell | None, now: Cell | None, matrix: Matrix) -> Json:
    """A cell; of a comparison, `now` is what is allowed now."""
    found: Json = {"text": printable(cell.text) if cell else "", "kind": kind}
    if matrix.now is not None:
        found["change"] = cell.change if cell else ""
        found["now"] = {"text": printable(now.text) if now else "", "kind": now.strength if now else "none"}
    return found


def document(title: str, said: str, data: Json, notes: Sequence[str] = ()) -> str:
    """The file around the data; `notes` stand below what is to be known of it."""
    style = f"{_colors()}\n{_part('page.css')}"
    script = _part("page.js") + _part("why.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<div class="top"><h1>{escape(title)}</h1><span id="said">{escape(printable(said))}</span>
<button id="theme" type="button">light / dark</button></div>
<div class="bar">
<label>senders <input id="senders" type="search" placeholder="name or app=web"></label>
<label>receivers <input id="receivers" type="search" placeholder="name or app=web"></label>
{_only(data)}<span id="count" role="status"></span>
{_wide(data)}
</div>
<div class="bar legend">{_legend(data)}</div>
</header>
<main>
<div id="scroll">
<noscript>This page needs its script. `policyd reach -o md` and `-o svg` need none.</noscript>
</div>
<aside id="why" aria-live="polite" aria-label="Why">
<h2>Why?</h2>
<p>Click on a cell, or go to it by <kbd>Tab</kbd> and the arrow keys and press <kbd>Enter</kbd>.
<kbd>/</kbd> filters.</p>
{"".join(f"<p>{escape(printable(note))}</p>" for note in notes)}
</aside>
</main>
<script type="application/json" id="data">{_json(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def _only(data: Json) -> str:
    if "changes" not in data:
        return ""
    checked = " checked" if data["changes"] and len(data["columns"]) > MOST_WITH_TEXT else ""
    return f'<label><input id="only" type="checkbox"{checked}> only what changes</label>'


def _wide(data: Json) -> str:
    if not data["wide"]:
        return ""
    newly = "now " if "changes" in data else ""
    return f'<span id="wide" class="wide-list">◉ {newly}let all others in: </span>'


def _legend(data: Json) -> str:
    present = {each["kind"] for each in data["answers"]}
    return "".join(
        f'<span><i class="{kind}">{mark}</i>{told}</span>'
        for kind, (mark, told) in LEGEND.items()
        if kind in present
    )


def _colors() -> str:
    dark = _variables(DARK)
    return (
        f":root {{ {_variables(LIGHT)} }}\n"
        f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}\n'
        f':root[data-theme="dark"] {{ {dark} }}'
    )


def _variables(colors: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colors.items())


def _part(name: str) -> str:
    return files("policyd.render").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _json(data: Json) -> str:
    """JSON that cannot end the block it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
