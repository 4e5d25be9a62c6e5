"""Where a policy, or one of its rules, was written. Pure."""

from __future__ import annotations

from typing import TypeVar

from policyd.kube.kind import Kind
from policyd.kube.objects import KubeObject, Source
from policyd_compiler.ir import Origin

T = TypeVar("T", bound=KubeObject)


def origin_of(kind: Kind[T], policy: T, rule: str = "", written: Source | None = None) -> Origin:
    """The origin of a policy or, with its place, `written`, of a rule of it such as `ingress[0]`."""
    source = written or policy.source
    return Origin(
        kind.name,
        kind.namespace(policy),
        policy.name,
        rule,
        source.file if source else "",
        source.line if source else 0,
    )
