"""What figures were measured on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Processor and how many, kernel, Python, nft, and the load of the last minute: what else went on."""
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": f"Linux {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "nft": _nft(),
        "load": round(os.getloadavg()[0], 2),
    }


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process, and what it starts in the block, on one processor: the last one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def _nft() -> str:
    if shutil.which("nft") is None:
        return "none"
    return subprocess.run(["nft", "--version"], capture_output=True, text=True, check=True).stdout.strip()
