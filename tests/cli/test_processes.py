"""policyd as a process among others: Ctrl-C, pipes that are closed, outputs that are full."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cases.form import namespace, pod
from tests.cli.calls import POLICYD, SHOP, as_list, finish, node, start

COMPILE = ("compile", "--node", "n1", "-f")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Manifests whose ruleset is larger than a pipe, so that who writes it must wait for who reads."""
    path = tmp_path / "large.json"
    pods = [pod(f"shop/p{number}", f"10.1.{number >> 8}.{number & 255}") for number in range(12_000)]
    path.write_text(as_list(*SHOP, *pods))
    return path


def test_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start(*COMPILE, fifo)
    writer = open_for_writing(fifo, process)
    try:
        process.send_signal(signal.SIGINT)
        result = finish(process)
    finally:
        os.close(writer)
    assert (result.code, result.out, result.err) == (130, "", "")


def open_for_writing(fifo: Path, process: subprocess.Popen[str]) -> int:
    """Wait until the process reads the FIFO."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it yet
            time.sleep(0.01)
    process.kill()
    raise AssertionError(f"it never read: {process.communicate()}")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("output", ["nft", "json", "ir"])
def test_a_pipe_that_is_closed_early_ends_it_quietly(output: str, unbuffered: str, large: Path) -> None:
    """As `| head -1` does."""
    environment = ("env", f"PYTHONUNBUFFERED={unbuffered}")
    process = start(*COMPILE, large, "-o", output, program=(*environment, *POLICYD))
    assert process.stdout is not None
    first = process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    result = finish(process)
    assert first != ""
    assert (result.code, result.err) == (141, "")


def test_a_pipe_that_is_closed_before_help_is_printed(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = finish(start("--help", stdout=writer, program=("env", "PYTHONUNBUFFERED=", *POLICYD)))
    finally:
        os.close(writer)
    assert (result.code, result.err) == (141, "")


def test_an_output_that_is_full_is_a_sentence(large: Path) -> None:
    with Path("/dev/full").open("w") as full:
        result = finish(start(*COMPILE, large, stdout=full))
    assert (result.code, result.err) == (4, "policyd: error: No space left on device\n")


@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        (">&-", "policyd: error: standard output is closed"),
        ("<&-", "<stdin>: error: standard input is closed"),
    ],
)
def test_a_stream_that_is_closed_is_a_sentence(redirection: str, said: str, large: Path) -> None:
    source = "-" if redirection == "<&-" else large
    shell = ("sh", "-c", f'exec "$@" {redirection}', "sh")
    process = start(*COMPILE, source, program=(*shell, *POLICYD))
    result = finish(process)
    assert "Traceback" not in result.err
    assert result.err.splitlines()[0] == said


def test_text_is_utf_8_in_any_locale(tmp_path: Path) -> None:
    path = tmp_path / "ж.json"
    path.write_text(as_list(*SHOP))
    environment = ("env", "LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0")
    good = finish(start(*COMPILE, path, "--check", program=(*environment, *POLICYD)))
    assert good.code in (0, 4), "4 where no kernel can be asked"
    assert "this is a bug" not in good.err
    bad = finish(start(*COMPILE, tmp_path / "ю", program=(*environment, *POLICYD)))
    assert bad.code == 3
    assert "there is no such file" in bad.err


def test_what_kubectl_prints_piece_by_piece_is_read_from_a_pipe() -> None:
    """Two commands into one pipe: `(kubectl get ns -o json; kubectl get pods -o json) | policyd ...`."""
    first = json.dumps({"apiVersion": "v1", "kind": "List", "items": [node("n1"), namespace("x")]}, indent=4)
    second = json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod("x/a", "10.0.0.1")]}, indent=4)
    process = start(*COMPILE, "-", "-o", "summary", stdin=subprocess.PIPE)
    out, err = process.communicate(f"{first}\n{second}\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "x/a" in out


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_without_a_standard_error_the_output_is_still_nothing_but_data(
    redirection: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(as_list(node("n1")))
    process = start(*COMPILE, path, program=("sh", "-c", f'exec "$@" {redirection}', "sh", *POLICYD))
    result = finish(process)
    assert "warning" not in result.out
    if redirection == "2>&-":
        assert (result.code, result.out[:9]) == (0, "add table")
    else:
        assert (result.code, result.out) == (4, "")


def test_a_standard_error_that_is_closed_ends_it_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = start(*COMPILE, tmp_path / "not-there", stderr=writer)
        result = finish(process)
    finally:
        os.close(writer)
    assert (result.code, result.out) == (141, "")
