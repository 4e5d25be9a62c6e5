"""Figures are judged against their aims, next to a baseline, as the table says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import full
from bench.events import Effort
from bench.rows import NONE, Aim, Elsewhere, Row, as_json, choose, failed, figure, line, misses, stored
from bench.runs import Runs
from bench.table import ELSEWHERE, QUICK, rows

MACHINE = {"processor": "a processor", "kernel": "Linux", "nft": "nft", "load": 0.1}


def row(
    name: str = "packets/new/1", aim: Aim = NONE, samples: tuple[float, ...] = (1.0, 2.0, 3.0, 10.0)
) -> Row[Runs]:
    return Row(name, "a packet", "ms", aim, lambda _: samples, "python -m bench.full")


def test_samples_are_summed_up() -> None:
    found = figure(row(), (3.0, 1.0, 10.0, 2.0))
    assert (found.count, found.least, found.p50, found.p99, found.most) == (4, 1.0, 2.5, 10.0, 10.0)


def test_the_99th_of_100_is_not_the_longest() -> None:
    assert figure(row(), [float(n) for n in range(1, 101)]).p99 == 99.0
    assert figure(row(), [float(n) for n in range(1, 1001)]).p99 == 990.0


@pytest.mark.parametrize(
    ("aim", "missed"),
    [
        (NONE, ()),
        (Aim(p50=2.5), ()),  # exactly the aim is met
        (Aim(p50=2.4), ("p50",)),
        (Aim(p50=2.5, p99=9.9), ("p99",)),
        (Aim(most=9.9), ("most",)),
        (Aim(p50=1, p99=2, most=20), ("p50", "p99")),
    ],
)
def test_a_statistic_over_its_aim_is_missed(aim: Aim, missed: tuple[str, ...]) -> None:
    found = figure(row(aim=aim), (1.0, 2.0, 3.0, 10.0))
    assert found.missed == missed
    assert len(misses([found])) == len(missed)
    assert ("MISSED" in line(found, {})) == bool(missed)


def test_each_miss_is_named_with_figure_and_aim() -> None:
    (sentence,) = misses([figure(row(aim=Aim(p50=2.4, p99=50)), (1.0, 2.0, 3.0, 10.0))])
    assert sentence == "packets/new/1: p50 2.500 ms, aim 2.4 (a packet)"


def test_what_has_an_aim_and_was_not_measured_is_missed() -> None:
    """Else a measurement that breaks would pass for one that is met."""
    aimed, free = failed(row(aim=Aim(p50=1)), "no server"), failed(row("free"), "no server")
    assert misses([aimed, free]) == ["packets/new/1: not measured: no server"]
    assert "not measured: no server" in line(free, {})
    assert misses([figure(row(aim=Aim(p50=1)), [])]) == ["packets/new/1: not measured: no samples"]


def test_the_ratio_is_that_of_the_medians() -> None:
    found = figure(row(), (1.0, 2.0, 3.0, 10.0))
    assert " 1.25" in line(found, {"packets/new/1": 2.0})
    assert "1.25" not in line(found, {"packets/new/10": 2.0})


def test_rows_are_chosen_by_whole_words() -> None:
    everything = [row("packets/new/1"), row("packets/new/10"), row("10/ready"), row("1000/ready")]
    assert choose(everything, []) == everything
    assert [r.name for r in choose(everything, ["10", "packets/new/1"])] == ["packets/new/1", "10/ready"]
    assert [r.name for r in choose(everything, ["packets/"])] == ["packets/new/1", "packets/new/10"]
    with pytest.raises(ValueError, match="no row is named packet, 100"):
        choose(everything, ["packet", "10", "100"])


def test_what_is_written_is_a_baseline() -> None:
    figures = [figure(row(aim=Aim(p50=1)), (1.0, 2.0)), failed(row("broken"), "no server")]
    text = as_json(MACHINE, figures, [Elsewhere("cluster", "a cluster", "p50 ≤ 2 ms", "make test-cluster")])
    assert stored(text) == ({"packets/new/1": 1.5}, MACHINE)
    document = json.loads(text)
    assert document["machine"] == MACHINE
    first = document["rows"][0]
    assert (first["aim"], first["missed"], first["command"]) == (
        {"p50": 1},
        ["p50"],
        "python -m bench.full",
    )
    assert document["elsewhere"][0]["command"] == "make test-cluster"


def test_the_table_names_each_row_once() -> None:
    names = [each.name for each in rows()]
    assert len(names) == len(set(names))
    assert choose(rows(), QUICK)
    assert all(each.command and each.aim for each in ELSEWHERE)


def test_a_row_that_breaks_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: Runs) -> list[float]:
        raise AssertionError("only 0 packets arrived")

    output, baseline = tmp_path / "out" / "bench.json", tmp_path / "baseline.json"
    baseline.write_text(as_json(MACHINE, [figure(row(), (2.0,))], []))
    first = Row("first", "breaks", "ms", Aim(p50=1), broken, "")
    found = full.report([first, row()], Runs(Effort()), output, baseline)
    assert misses(found) == ["first: not measured: AssertionError: only 0 packets arrived"]
    assert stored(output.read_text())[0] == {"packets/new/1": 2.5}
    printed = capsys.readouterr().out
    assert "here: processor " in printed
    assert "baseline: processor a processor, kernel Linux, nft nft, load 0.1\n" in printed
    assert " 1.25" in printed


@pytest.mark.parametrize(("aim", "code"), [(Aim(p50=2.5), 0), (Aim(p50=2.4), 1)])
def test_a_missed_aim_is_the_exit_code(
    aim: Aim,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(full, "rows", lambda: [row(aim=aim)])
    arguments = ["packets", "--output", str(tmp_path / "b.json"), "--baseline", str(tmp_path / "none")]
    assert full.main(arguments) == code
    assert ("packets/new/1: p50 2.500 ms" in capsys.readouterr().out) == bool(code)
    assert full.main(["pockets"]) == 2
    full.main(arguments[1:])
    printed = capsys.readouterr().out
    assert all(each.command in printed for each in ELSEWHERE)


def test_a_measurement_is_made_once_also_when_it_fails() -> None:
    """Rows share it: an agent that never gets ready would else be waited for by each of them."""
    runs, made = Runs(Effort()), list[int]()

    def fail() -> None:
        made.append(1)
        raise AssertionError("never ready")

    def succeed() -> int:
        made.append(1)
        return 5

    for _ in range(2):
        with pytest.raises(AssertionError, match="never ready"):
            runs._once("agent", fail)
        assert runs._once("other", succeed) == 5
    assert len(made) == 2
