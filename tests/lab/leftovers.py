"""What a lab could leave behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


def leftovers() -> Counter[str]:
    """The network namespaces that this process holds open, and its children.

    Compare with before as `leftovers() - before`: what an earlier test left may go at any moment.
    """
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except FileNotFoundError:
            continue  # the descriptor that lists the directory
        if target.startswith("net:["):
            found[target] += 1
    found.update(f"process {child}" for child in children())
    return found


def children() -> list[int]:
    """The processes that this one started and has not reaped yet."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except FileNotFoundError:
            continue  # the thread ended meanwhile
    return sorted(found)
