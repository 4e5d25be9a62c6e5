"""The list of faults cannot rot: each still fits the code, and the test that must notice it exists."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault, Misfit

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_the_code(fault: Fault) -> None:
    """Its text stands there exactly once, and with the fault it is still a program, and another one."""
    before = (ROOT / fault.file).read_text()
    after = fault.applied(before)
    assert after != before
    if fault.file.endswith(".py"):
        compile(after, fault.file, "exec")
    else:
        assert subprocess.run(["sh", "-n"], input=after, text=True, check=False).returncode == 0


def test_every_catching_test_exists() -> None:
    tests = sorted({fault.caught_by for fault in FAULTS})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *tests]
    collected = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert collected.returncode == 0, collected.stdout + collected.stderr


def test_names_differ() -> None:
    assert [name for name, count in Counter(f.name for f in FAULTS).items() if count > 1] == []


@pytest.mark.parametrize("count", [0, 2])
def test_a_text_that_is_not_there_exactly_once_fits_nothing(count: int) -> None:
    fault = Fault("a fault", "NP-000", "code.py", "right", "wrong", "test.py")
    with pytest.raises(Misfit, match=f"a fault: its text stands {count} times in code.py"):
        fault.applied("right " * count)
