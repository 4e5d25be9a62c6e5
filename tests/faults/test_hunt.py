"""The hunt itself: what is caught, what survives, what proves nothing; and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import hunt as hunting
from tests.faults.fault import Fault
from tests.faults.hunt import AlreadyFailing, collect

CODE = "def double(number):\n    return number * 2\n"
TESTS = """\
import os
import time
from pathlib import Path

import pytest

from product import double


def test_four():
    assert double(2) == 4


def test_six():
    assert double(3) == 6


def test_nothing():
    pass


@pytest.fixture
def broken():
    assert double(2) == 4


def test_with_a_fixture(broken):
    pass


def test_that_waits():
    if double(2) != 4:
        Path(os.environ["WAITS"]).touch()
        time.sleep(600)
"""
CONFTEST = """\
from hypothesis import settings

settings.register_profile("faults")
"""
SOURCES = ("product.py", "test_product.py", "conftest.py", "pyproject.toml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A product with one function, and its tests."""
    made = tmp_path / "project"
    made.mkdir()
    texts = (CODE, TESTS, CONFTEST, "[tool.pytest.ini_options]\npythonpath = ['.']\n")
    for name, text in zip(SOURCES, texts, strict=True):
        (made / name).write_text(text)
    return made


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made, to see what is left of them."""
    made = tmp_path / "scratch"
    made.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(made))
    return made


def fault(new: str, test: str, old: str = "number * 2") -> Fault:
    return Fault(f"{new} and {test}", "NP-000", "product.py", old, new, f"test_product.py::{test}")


CASES = (
    (fault("number + 2", "test_six"), "caught", ""),
    (fault("number + 2", "test_four"), "survived", "the test passes with the fault"),
    (fault("number ** 2", "test_nothing"), "survived", "the test passes with the fault"),
    (fault("numbr * 2", "test_four"), "unfit", "accident (NameError)"),
    (fault("number * / 2", "test_four"), "unfit", "so no test has judged"),
    (fault("number", "test_with_a_fixture"), "unfit", "what failed was not the test"),
    (fault("number", "test_four", old="number + number"), "unfit", "its text stands 0 times"),
)


def test_each_fault_gets_what_it_deserves(project: Path, scratch: Path) -> None:
    before = {name: (project / name).read_text() for name in SOURCES}
    found = asyncio.run(collect(project, [case[0] for case in CASES], 2, SOURCES))
    by_name = {each.fault.name: each for each in found}
    for planted, outcome, text in CASES:
        assert by_name[planted.name].outcome == outcome, by_name[planted.name]
        assert text in by_name[planted.name].text
    assert {path.name: path.read_text() for path in project.glob("*.*")} == before
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("test", ["test_six", "test_that_is_not_there"])
def test_tests_that_do_not_pass_without_any_fault_end_the_hunt(
    project: Path, scratch: Path, test: str
) -> None:
    (project / "product.py").write_text(CODE.replace("* 2", "+ 2"))
    with pytest.raises(AlreadyFailing, match=test):
        asyncio.run(collect(project, [fault("number", test, old="number + 2")], 1, SOURCES))
    assert list(scratch.iterdir()) == []


def test_a_test_that_does_not_end_is_killed(
    project: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hunting, "SECONDS", 3.0)
    monkeypatch.setenv("WAITS", str(project / "waits"))
    [found] = asyncio.run(collect(project, [fault("number", "test_that_waits")], 1, SOURCES))
    assert (found.outcome, "did not end within 3 s" in found.text) == ("unfit", True)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(project: Path, tmp_path: Path, number: signal.Signals) -> None:
    """No process, no file; and the terminal gets its prompt back soon."""
    scratch, waits = tmp_path / "scratch", tmp_path / "waits"
    scratch.mkdir()
    program = (
        "import sys; from pathlib import Path; from tests.faults import report\n"
        "from tests.faults.test_hunt import SOURCES, fault\n"
        "faults = (fault('number', 'test_that_waits'),)\n"
        f"sys.exit(report.run(Path({str(project)!r}), faults, 1, SOURCES))\n"
    )
    root = Path(__file__).resolve().parent.parent.parent
    environment = {**os.environ, "TMPDIR": str(scratch), "WAITS": str(waits)}
    environment["PYTHONPATH"] = f"{root}:{root / 'compiler'}"
    with subprocess.Popen([sys.executable, "-c", program], env=environment, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not waits.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(number)
            assert process.wait(30) == 130
        finally:
            process.kill()
    assert list(scratch.iterdir()) == []
