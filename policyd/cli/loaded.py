"""A cluster that was read, from manifests or from the API server. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policyd.cluster.state import ClusterState
from policyd.errors import Diagnostic
from policyd.lint.suppress import IgnoredLines
from policyd_compiler.options import Options


@dataclass(frozen=True, slots=True)
class LoadedCluster:
    """A cluster without mistakes, what should be said about it nevertheless, and what to compile of it.

    `node` is None where nobody named one. `only_namespace`: no more than this one may be read.
    `ignored`: by file, where comments switch rules of lint off.
    """

    state: ClusterState
    warnings: tuple[Diagnostic, ...]
    options: Options
    node: str | None
    only_namespace: str = ""
    ignored: Mapping[str, IgnoredLines] = field(default_factory=dict)
