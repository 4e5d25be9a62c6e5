"""What cannot work is refused at once, in a sentence that says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from policyd.errors import EnvironmentRefused, Exit
from tests.cluster import requirements
from tests.cluster.requirements import Need

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("up",), Exit.ENVIRONMENT, "make cluster-build CLUSTER_PARTS='control-plane nodes flannel'"),
        (("up", "--way", "legacy"), Exit.USAGE, "`legacy` is a way of Cilium's"),
        (("up", "--image", "missing.tar"), Exit.USAGE, "there is no file missing.tar"),
        (("build", "flannel"), Exit.ENVIRONMENT, "no `go` on PATH"),
        (("measure", "--times", "0"), Exit.USAGE, "0 is not a number from 1 on"),
    ],
)
def test_a_command_that_cannot_work_says_why(
    arguments: tuple[str, ...], status: Exit, sentence: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    if arguments[0] == "build":
        environment["PATH"] = str(tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "tests.cluster", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (status, "")
    assert sentence in result.stderr.splitlines()[-1]


def test_a_missing_program_is_named_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        requirements.NEEDS, "e2e", (Need("no-such-program", "its-package"), Need("ip", "iproute2"))
    )
    with pytest.raises(EnvironmentRefused, match=r"`apt-get install its-package`$"):
        requirements.require("e2e")
