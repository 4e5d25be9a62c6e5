"""A test that hangs is ended wherever it hangs, and says where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(tmp_path: Path, text: str) -> tuple[int, str]:
    """Run tests as the project runs them, with a limit of two seconds; give the exit code and the output."""
    (tmp_path / "test_it.py").write_text(text)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.limits", "-p", "no:cacheprovider"),
            *("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-o", "timeout=2", tmp_path / "test_it.py"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "compiler")))},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return done.returncode, done.stdout + done.stderr


HANGS = "import threading\n\ndef test_hangs():\n    threading.Event().wait()\n\ndef test_next():\n    pass\n"
FIXTURE = """
import threading
import pytest

@pytest.fixture
def never_closed():
    yield
    threading.Event().wait()

def test_hangs(never_closed):
    assert False, "the test itself fails, too"

def test_next():
    pass
"""
DEAF = """
import signal, threading

def test_hangs():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    print("captured")
    threading.Event().wait()
"""


def test_every_test_has_a_limit(request: pytest.FixtureRequest) -> None:
    assert float(request.config.getini("timeout")) > 0


def test_a_test_that_hangs_fails_and_the_next_one_runs(tmp_path: Path) -> None:
    code, said = run(tmp_path, HANGS)
    assert (code, "1 failed, 1 passed" in said) == (1, True), said
    assert "Timeout (>2.0s) from pytest-timeout" in said
    assert "threading.Event().wait()" in said


def test_a_fixture_that_hangs_after_a_failure_is_an_error(tmp_path: Path) -> None:
    code, said = run(tmp_path, FIXTURE)
    assert (code, "1 failed, 1 passed, 1 error" in said) == (1, True), said


def test_a_process_that_no_signal_reaches_ends_and_says_where_it_was(tmp_path: Path) -> None:
    code, said = run(tmp_path, DEAF)
    assert (code, "Timeout (0:00:04)!" in said, "in test_hangs" in said) == (1, True, True), said
