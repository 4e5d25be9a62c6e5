"""Which planted faults the proof notices: `python -m tests.faults.proving [WORD ...]`.

A fault of what compiles is planted in a copy of the sources, and there the rulesets of all cases and of some
random worlds are proved. The proof reads policies on its own, so it notices what changes their meaning; what
changes names, costs or the order of writing it cannot notice, nor how manifests are decoded.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

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
WORLDS = 25
SECONDS = 240.0


def compiling_faults(words: Sequence[str] = ()) -> list[Fault]:
    """The faults in what compiles; with words those that have one of them in their names."""
    found = [fault for fault in FAULTS if fault.file.startswith(COMPILING)]
    return [fault for fault in found if not words or any(word in fault.name for word in words)]


def is_noticed(fault: Fault, tree: Path) -> bool:
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
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"{fault.name}: {done.stderr[-2000:]}")
    return done.returncode == 1


def not_proved() -> Iterator[str]:
    """What of all that is proved here is not: of each case and world the first reason."""
    # Imported in the copy, with the fault.
    from tests.faults import rulesets  # noqa: PLC0415

    yield from rulesets.not_proved(random.Random(1), WORLDS)


def main(arguments: Sequence[str]) -> int:
    """Judge what is compiled here, or try all faults with one of these words in their names."""
    if list(arguments) == ["--judge"]:
        reason = next(not_proved(), "")
        sys.stdout.write(reason)
        return bool(reason)
    counts: Counter[str] = Counter()
    for fault in compiling_faults(arguments):
        with tempfile.TemporaryDirectory(prefix="policyd-proof-") as scratch:
            try:
                outcome = "noticed" if is_noticed(fault, Path(scratch)) else "not noticed"
            except (RuntimeError, Misfit, subprocess.TimeoutExpired) as error:
                outcome = f"unfit: {str(error)[-200:]}"
        counts[outcome.partition(":")[0]] += 1
        sys.stdout.write(f"{outcome:11} {fault.file}: {fault.name}\n")
        sys.stdout.flush()
    sys.stdout.write(", ".join(f"{number} {outcome}" for outcome, number in counts.items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
