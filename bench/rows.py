"""Rows of figures with their aims: how they are chosen, judged, printed and stored. Nothing here measures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

Runs = TypeVar("Runs")
Statistic = Literal["p50", "p99", "most"]
STATISTICS: tuple[Statistic, ...] = ("p50", "p99", "most")


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure may be at most, in its own unit, by statistic; None: no aim."""

    p50: float | None = None
    p99: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        """Only what is bounded, as `p50 ≤ 0.5, p99 ≤ 3`."""
        bounds = ((statistic, getattr(self, statistic)) for statistic in STATISTICS)
        return ", ".join(f"{name} ≤ {bound:g}" for name, bound in bounds if bound is not None)


NONE = Aim()


@dataclass(frozen=True, slots=True)
class Row(Generic[Runs]):
    """One line of the table. `name` is words with slashes between, from wide to narrow; it is chosen by them.

    `values` takes its samples, in `unit`, from what the runs measured; `command` measures only this.
    """

    name: str
    what: str
    unit: str
    aim: Aim
    values: Callable[[Runs], Sequence[float]]
    command: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A line with an aim that another command measures."""

    name: str
    what: str
    aim: str
    command: str


@dataclass(frozen=True, slots=True)
class Figure:
    """What a row measured: in `unit`, over `count` samples. `problem` says why nothing was measured."""

    name: str
    what: str
    unit: str
    aim: Aim
    command: str
    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    least: float = 0.0
    most: float = 0.0
    problem: str = ""

    @property
    def missed(self) -> tuple[Statistic, ...]:
        """The statistics over their aims."""
        bounds = ((statistic, getattr(self.aim, statistic)) for statistic in STATISTICS)
        return tuple(name for name, bound in bounds if bound is not None and getattr(self, name) > bound)


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of them does not exceed; raises IndexError without values."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def figure(row: Row[Any], values: Sequence[float]) -> Figure:
    """Sum samples up."""
    if not values:
        return failed(row, "no samples")
    middle, late = statistics.median(values), quantile(values, 0.99)
    shared = (row.name, row.what, row.unit, row.aim, row.command)
    return Figure(*shared, len(values), middle, late, min(values), max(values))


def failed(row: Row[Any], problem: str) -> Figure:
    """Report a row that could not be measured."""
    return Figure(row.name, row.what, row.unit, row.aim, row.command, problem=problem)


def choose(rows: Iterable[Row[Runs]], names: Sequence[str]) -> list[Row[Runs]]:
    """The rows that are named, or lie below a name: `packets` chooses `packets/new-v4/1000`. None: all.

    Raises ValueError for a name that chooses nothing.
    """
    everything = list(rows)
    below = {
        name: [row for row in everything if f"{row.name}/".startswith(f"{name.rstrip('/')}/")]
        for name in names
    }
    nothing = [name for name, found in below.items() if not found]
    if nothing:
        raise ValueError(f"no row is named {', '.join(nothing)}")
    chosen = {row.name for found in below.values() for row in found}
    return [row for row in everything if row.name in chosen or not names]


# --- printed -------------------------------------------------------------------------------------------


def heading() -> str:
    """What stands above the lines."""
    columns = "".join(f"{word:>10}" for word in ("p50", "p99", "least", "most"))
    return f"{'':34}{columns} {'unit':8}{'samples':>7} {'of baseline':>11}  aim"


def line(found: Figure, baseline: Mapping[str, float]) -> str:
    """One line; the ratio is that of the median to the baseline's, where it has one."""
    if found.problem:
        return f"{found.name:34}  not measured: {found.problem}"
    columns = "".join(f"{_number(value):>10}" for value in (found.p50, found.p99, found.least, found.most))
    before = baseline.get(found.name)
    ratio = f"{found.p50 / before:.2f}" if before else ""
    aim = f"  {found.aim}{'  MISSED' if found.missed else ''}".rstrip()
    return f"{found.name:34}{columns} {found.unit:8}{found.count:7} {ratio:>11}{aim}".rstrip()


def misses(figures: Iterable[Figure]) -> list[str]:
    """A sentence for each aim that is missed, and for each row with one that could not be measured."""
    found = []
    for each in figures:
        if each.problem and each.aim != NONE:
            found.append(f"{each.name}: not measured: {each.problem}")
        for name in each.missed:
            value, bound = getattr(each, name), getattr(each.aim, name)
            found.append(f"{each.name}: {name} {_number(value)} {each.unit}, aim {bound:g} ({each.what})")
    return found


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:.{digits}f}"


# --- stored --------------------------------------------------------------------------------------------


def as_json(machine: Mapping[str, Any], figures: Iterable[Figure], elsewhere: Iterable[Elsewhere]) -> str:
    """All of it, to be read by people, `stored` and `bench.charts`."""
    rows = [
        {
            **asdict(each),
            "aim": {name: bound for name, bound in asdict(each.aim).items() if bound is not None},
            "missed": list(each.missed),
        }
        for each in figures
    ]
    document = {"machine": dict(machine), "rows": rows, "elsewhere": [asdict(each) for each in elsewhere]}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def stored(text: str) -> tuple[dict[str, float], dict[str, Any]]:
    """The medians by the rows' names, and the machine, of what `as_json` wrote; without rows that were not
    measured.
    """
    document = json.loads(text)
    medians = {row["name"]: float(row["p50"]) for row in document["rows"] if not row["problem"]}
    return medians, document["machine"]
