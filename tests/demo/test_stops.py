"""However and whenever the demonstration is stopped, nothing of it is left, and it says nothing about it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.demo.processes import COMMAND, Demo, demonstration
from tests.support.waiting import until

pytestmark = pytest.mark.kernel

#: Seconds of which a moment is chosen: while all is being made, and up to the end of the first measurement.
SPANS = (0.6, 3.0)
Send: TypeAlias = Callable[[Demo, int], None]


@pytest.fixture(autouse=True)
def hangups_end() -> Iterator[None]:
    """Let what is started notice that its terminal is gone, although `nohup` may have started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def group(demo: Demo, number: int) -> None:
    """Signal the demonstration and its children, as a terminal does."""
    os.killpg(demo.process.pid, number)


def alone(demo: Demo, number: int) -> None:
    """Signal the demonstration only, as `kill` does."""
    os.kill(demo.process.pid, number)


def storm(demo: Demo, number: int) -> None:
    """Signal again and again, as the impatient do."""
    while demo.process.poll() is None:
        os.killpg(demo.process.pid, number)
        time.sleep(0.003)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("send", [group, alone, storm])
def test_a_signal_at_any_moment_leaves_nothing(send: Send, number: int, tmp_path: Path) -> None:
    moment = random.uniform(0, random.choice(SPANS))
    with demonstration(tmp_path) as demo:
        assert demo.process.stdout is not None
        assert demo.process.stdout.readline() != ""
        time.sleep(moment)
        kept = demo.namespaces_kept_by_mounts()
        send(demo, number)
        code, _, err = demo.finish()
        # A signal in the very end, when Python no longer catches any, gives what a shell calls the same.
        assert (code if code >= 0 else 128 - code, err) == (128 + number, ""), moment
        assert (demo.leftovers(), kept) == ([], []), moment


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_before_it_says_anything_leaves_nothing(number: int, tmp_path: Path) -> None:
    moment = random.uniform(0, 0.5)
    with demonstration(tmp_path) as demo:
        time.sleep(moment)
        demo.process.send_signal(number)
        demo.finish()
        assert demo.leftovers() == [], moment


def test_a_killed_one_takes_agent_and_namespaces_with_it(tmp_path: Path) -> None:
    """Nobody can tidy up then; only the copy of the manifests stays."""
    with demonstration(tmp_path) as demo:
        until(lambda: len(demo.processes()) >= 3)  # the agent, and the process that holds the library
        assert len(demo.namespaces()) >= 7
        assert demo.namespaces_kept_by_mounts() == []
        demo.process.kill()
        until(lambda: demo.processes() == [])
        demo.finish()
        left = demo.leftovers()
        assert [item for item in left if not item.startswith("file policyd-demo-")] == []


def test_a_pipe_that_is_closed_early_ends_it_quietly(tmp_path: Path) -> None:
    """As `| head -1` does."""
    with demonstration(tmp_path) as demo:
        assert demo.process.stdout is not None
        assert demo.process.stdout.readline() != ""
        demo.process.stdout.close()
        demo.process.stdout = None
        code, _, err = demo.finish()
        assert (code, err) == (141, "")
        assert demo.leftovers() == []


class Terminal:
    """A terminal that a demonstration runs on, and all that it has written there."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()
        self.text = ""

    def read_until(self, words: str) -> None:
        """Read until the words are there, or until everybody has closed it."""
        while words not in self.text:
            try:
                self.text += os.read(self._ours, 4096).decode()
            except OSError:  # EIO: nobody has it open any more
                return

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def hang_up(self) -> None:
        if self._ours >= 0:
            os.close(self._ours)
        self._ours = -1


@contextmanager
def on_terminal(tmp_path: Path, *arguments: str, **variables: str) -> Iterator[tuple[Demo, Terminal]]:
    """A demonstration whose controlling terminal is a new one."""
    terminal = Terminal()
    command = ("setsid", "--ctty", *COMMAND, *arguments)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    environment = {"TERM": "xterm", "NO_COLOR": "", **variables}
    try:
        with demonstration(tmp_path, command, environment, start_new_session=False, **streams) as demo:
            os.close(terminal.theirs)
            yield demo, terminal
    finally:
        terminal.hang_up()


@pytest.mark.parametrize(
    ("arguments", "variables", "colored"),
    [
        ((), {}, True),
        (("--color=never",), {}, False),
        ((), {"NO_COLOR": "1"}, False),
        (("--color=always",), {"NO_COLOR": "1"}, True),
    ],
)
def test_ctrl_c_on_a_terminal_clears_the_progress(
    arguments: tuple[str, ...], variables: dict[str, str], colored: bool, tmp_path: Path
) -> None:
    with on_terminal(tmp_path, *arguments, **variables) as (demo, terminal):
        terminal.read_until("starting the agent ...")
        terminal.press(b"\x03")
        terminal.read_until("everything, to the end")
        code, _, _ = demo.finish()
    assert code == 130
    assert terminal.text.endswith("\r\x1b[K")
    assert "Traceback" not in terminal.text
    assert ("\x1b[1m" in terminal.text) == colored
    assert demo.leftovers() == []


def test_a_dumb_terminal_gets_plain_text_and_no_progress(tmp_path: Path) -> None:
    with on_terminal(tmp_path, TERM="dumb") as (demo, terminal):
        terminal.read_until("Without policyd")
        terminal.press(b"\x03")
        terminal.read_until("everything, to the end")
        demo.finish()
    assert "\x1b" not in terminal.text
    assert " ..." not in terminal.text


@pytest.mark.parametrize("words", ["The policies", "making the node", "starting the agent", "in force"])
def test_a_terminal_that_goes_away_takes_everything_with_it(words: str, tmp_path: Path) -> None:
    with on_terminal(tmp_path) as (demo, terminal):
        terminal.read_until(words)
        terminal.hang_up()
        code, _, _ = demo.finish()
        assert code == 128 + signal.SIGHUP
        assert demo.leftovers() == []
