"""How the tests of the command line run it: in this process, with its output and exit code as a value."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from policyd.cli.frame import run
from tests.cli.calls import Call, Result


@pytest.fixture
def unprivileged() -> list[str]:
    """What starts a program that may read what root may, and has no power over the network namespace."""
    command = ["unshare", "--user"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace can be made here: a chroot, or a container that forbids it")
    return command


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command line; `stdin` is what it can read."""
    for variable in ("NO_COLOR", "POLICYD_DEBUG"):
        monkeypatch.delenv(variable, raising=False)

    def call(*arguments: object, stdin: str | bytes = b"") -> Result:
        text = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        capfd.readouterr()
        try:
            code = run([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse's way
            code = ended.code if isinstance(ended.code, int) else 1
        captured = capfd.readouterr()
        return Result(int(code), captured.out, captured.err)

    return call
