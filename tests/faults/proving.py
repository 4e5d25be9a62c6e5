"""Which planted faults the proof notices: `python -m tests.faults.proving [WORD ...]`.

A fault of what compiles is planted in a copy of the sources, and there the rulesets of all cases and of some
random worlds are proved. The proof reads policies on its own, so it notices what changes their meaning. What
changes names, costs or the order of writing it cannot notice (`BESIDE`), nor how manifests are decoded.

Exit code 1 if a fault of meaning is not noticed, or one of `BESIDE` is.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from policyd_compiler.errors import CompilerBug
from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault, Misfit
from tests.faults.hunt import SOURCES

ROOT = Path(__file__).resolve().parents[2]
#: What gives a ruleset its meaning: not how rulesets change.
COMPILING = (
    *(
        f"policyd/cluster/{name}.py"
        for name in ("index", "isolations", "ownership", "peers", "resolve", "tiers")
    ),
    *(f"compiler/policyd_compiler/{name}" for name in ("addr.py", "ir.py", "passes/")),
    *(
        f"compiler/policyd_compiler/lower/{name}.py"
        for name in (
            *("bridge", "chains", "classes", "decide", "dispatch", "guard", "hearers", "link", "objects"),
            *("port_chains", "roots", "sharing"),
        )
    ),
)
#: Faults that change nothing of what a ruleset does with packets, and what they change.
BESIDE: Mapping[str, str] = {
    "the sweep asks every rule at every bound": "what compiling costs",
    "a difference is taken from a difference": "how many look-ups a packet costs",
    "chains are made that no packet comes to": "how much is written",
    "policies are taken in the order of a hash": "the order in which rules are written",
    "rules are noted in the order of their hashes": "the order of notes",
    "policies are taken in the order in which they came": "the order in which rules are written",
    "a change of the dispatch maps happens in place": "the names of maps, and how the next ruleset follows",
    "names of interfaces that overlap go to the kernel, which refuses the whole ruleset": (
        "what the kernel takes: as it is written it would do the same"
    ),
    "what is denied is rejected": "the answer to what is denied (not covered)",
}
WORLDS = 25
SECONDS = 240.0

#: refused: the compiler's own checks do not let such a ruleset out.
Outcome: TypeAlias = Literal["not noticed", "noticed", "refused"]
_OUTCOMES: Mapping[int, Outcome] = {0: "not noticed", 1: "noticed", 3: "refused"}


def compiling_faults(words: Sequence[str] = ()) -> list[Fault]:
    """The faults in what compiles; with words those that have one of them in their names."""
    found = [fault for fault in FAULTS if fault.file.startswith(COMPILING)]
    return [fault for fault in found if not words or any(word in fault.name for word in words)]


def outcome(fault: Fault, tree: Path) -> Outcome:
    """Plant a fault in a copy of the sources, and prove what it compiles there."""
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", ".*cache"))
        else:
            shutil.copy(source, tree / name)
    fault.plant(tree)
    command = [sys.executable, "-m", "tests.faults.proving", "--judge"]
    done = subprocess.run(
        command,
        cwd=tree,
        env={
            "PYTHONPATH": f"{tree}:{tree / 'compiler'}",
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode not in _OUTCOMES or "Traceback" in done.stderr:
        raise RuntimeError(f"{fault.name}: {done.stderr[-2000:]}")
    return _OUTCOMES[done.returncode]


def not_proved() -> Iterator[str]:
    """What of all that is proved here is not: of each case and world the first reason."""
    # Imported in the copy, with the fault.
    from tests.faults import rulesets  # noqa: PLC0415

    yield from rulesets.not_proved(random.Random(1), WORLDS)


def main(arguments: Sequence[str]) -> int:
    """Judge what is compiled here, or try all faults with one of these words in their names."""
    if list(arguments) == ["--judge"]:
        return _judge()
    counts: Counter[str] = Counter()
    unexpected = 0
    for fault in compiling_faults(arguments):
        with tempfile.TemporaryDirectory(prefix="policyd-proof-") as scratch:
            try:
                found: str = outcome(fault, Path(scratch))
            except (RuntimeError, Misfit, subprocess.TimeoutExpired) as error:
                found = f"unfit: {str(error)[-200:]}"
        unexpected += found not in (("not noticed",) if fault.name in BESIDE else ("noticed", "refused"))
        counts[found.partition(":")[0]] += 1
        beside = f" (beside: {BESIDE[fault.name]})" if fault.name in BESIDE else ""
        sys.stdout.write(f"{found:11} {fault.file}: {fault.name}{beside}\n")
        sys.stdout.flush()
    sys.stdout.write(", ".join(f"{number} {name}" for name, number in counts.items()) + "\n")
    return bool(unexpected)


def _judge() -> int:
    try:
        reason = next(not_proved(), "")
    except CompilerBug as error:
        sys.stdout.write(f"nothing is compiled: {error}")
        return 3
    sys.stdout.write(reason)
    return bool(reason)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
