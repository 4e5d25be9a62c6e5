"""`python -m tests.fuzz.job`: one target in a process of its own, for so many inputs or seconds.

A new sentence that a target says is a new way through it: such inputs are damaged further. An input that
makes a target raise, or take long, is shortened and kept; the one under way is in a file, in case it kills.
"""

from __future__ import annotations

import json
import logging
import mmap
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.mutations import MAX_BYTES, mutate
from tests.fuzz.target import Reader, Target
from tests.fuzz.targets import TARGETS

#: Of processor time, for one input.
LONGEST_SECONDS = 3.0
#: By the clock, after which the process is killed: it waits for something, or is deaf inside of a library.
PATIENCE = 120.0
#: More memory than this is refused, so that who asks for it raises.
MOST_MEMORY = 2 << 30
NOTE = "current"
MOST_KEPT = 500
MOST_NEW = 40
LONGEST_NEW = 1500
MOST_ATTEMPTS = 3000

_DETAILS = re.compile(r"""\d+|"[^"]*"|'[^']*'|[^\x20-\x7e]+""")


class TookLong(BaseException):
    """An input took longer than any may."""


@dataclass(slots=True)
class Report:
    """What came of a job. `crashes` are names of files with what was raised, `new` files of new ways."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    megabytes: int = 0
    outcomes: int = 0
    crashes: dict[str, str] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)


def fuzz(target: Target, seed: int, inputs: int, seconds: float, directory: Path) -> Report:
    """Meet a target with damaged inputs; crashes and new ways are files in the directory."""
    random = Random(seed)
    report = Report(target.name)
    # What made trouble once is replayed elsewhere; most of what is made of it is slow, and nothing else.
    pool = [*target.good, *(text for name, text in target.corpus().items() if name.startswith("way-"))]
    seen, signatures = set[str | Crash](), set[str]()
    began = time.monotonic()
    with _noted(directory / NOTE) as note, _watched():
        while report.inputs < inputs and time.monotonic() - began < seconds:
            text = mutate(random, random.choice(pool), pool, target.mutations)
            note(text)
            before = time.process_time()
            found = _outcome(target.read, text)
            report.slowest = max(report.slowest, time.process_time() - before)
            report.inputs += 1
            if isinstance(found, Crash):
                if found.signature not in signatures:
                    signatures.add(found.signature)
                    short = shrink(target.read, text, found.signature)
                    name = keep(directory, "crash", short, found.signature.encode())
                    report.crashes[name] = found.text
            elif found not in seen and len(pool) < MOST_KEPT:
                seen.add(found)
                pool.append(text)
                if len(report.new) < MOST_NEW and len(text) <= LONGEST_NEW:
                    report.new.append(keep(directory, "way", text, text))
    report.outcomes = len(seen)
    report.seconds = time.monotonic() - began
    report.megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return report


@dataclass(frozen=True, slots=True)
class Crash:
    """What a target raised, and where: the signature is the same for all inputs that find the same fault."""

    signature: str
    text: str = field(compare=False)


def _outcome(read: Reader, text: bytes) -> str | Crash:
    """What came of one input, without the details."""
    signal.setitimer(signal.ITIMER_PROF, LONGEST_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        said = read(text)
    except (Exception, TookLong) as error:  # noqa: BLE001 whatever it is, it is what is looked for
        return _crash(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return _DETAILS.sub("", said[:300])


def _crash(error: BaseException) -> Crash:
    text = "".join(traceback.format_exception(error, limit=-6))
    if isinstance(error, TookLong):
        return Crash("took long", text)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/policyd" in frame.filename] or list(frames)
    return Crash(f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}", text)


def shrink(read: Reader, text: bytes, signature: str) -> bytes:
    """Take away what the crash does not need."""
    attempts, size = 0, len(text) // 2
    while size and attempts < MOST_ATTEMPTS:
        at = 0
        while at < len(text) and attempts < MOST_ATTEMPTS:
            shorter = text[:at] + text[at + size :]
            found = _outcome(read, shorter)
            # What takes long is waited for only a few times.
            attempts += MOST_ATTEMPTS // 10 if signature == "took long" else 1
            if isinstance(found, Crash) and found.signature == signature:
                text = shorter
            else:
                at += size
        size //= 2
    return text


def keep(directory: Path, what: str, text: bytes, named_by: bytes) -> str:
    """Write an input into a file, and give its name."""
    name = f"{what}-{sha256(named_by).hexdigest()[:8]}"
    (directory / name).write_bytes(text)
    return name


@contextmanager
def _noted(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Write each input into a file before it is read: a process that is killed cannot tell of it."""
    path.write_bytes(bytes(MAX_BYTES + 2))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:

        def note(text: bytes) -> None:
            memory[: len(text) + 2] = len(text).to_bytes(2, "big") + text

        yield note


@contextmanager
def _watched() -> Iterator[None]:
    """Let an input that takes too much of the processor's time raise."""

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise TookLong(f"no answer within {LONGEST_SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, too_long)
    try:
        yield
    finally:
        signal.signal(signal.SIGPROF, before)


def noted(path: Path) -> bytes:
    """The input that a process met last."""
    content = path.read_bytes()
    return content[2 : 2 + int.from_bytes(content[:2], "big")]


def main() -> None:
    """Run the job of the command line, and print its report."""
    name, seed, inputs, seconds, place = sys.argv[1:]
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    target = TARGETS[name](Path(place))
    report = fuzz(target, int(seed), int(inputs), float(seconds), Path(place))
    sys.stdout.write(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
