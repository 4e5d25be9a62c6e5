"""A rule as a value: what it finds, why that matters, and YAML that is bad and good by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policyd.lint.finding import Level


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `bad` and `good` are manifests, tried by the tests beside the objects of `examples.py`.

    `needs` "text": a policy alone is enough; "objects": it is about pods, namespaces or Services, and as
    sure as all of them were seen. `opt_in`: it is on only if asked for. `fix`: what `--fix` changes, ""
    if nothing.
    """

    id: str
    level: Level
    title: str
    why: str
    bad: str
    good: str
    needs: Literal["text", "objects"] = "text"
    opt_in: bool = False
    fix: str = ""
