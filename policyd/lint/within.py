"""Whether one selector, block or port means no more than another: as far as both are plain."""

from __future__ import annotations

from policyd.kube.cidr import is_subset
from policyd.kube.objects import Cidr, IPBlock, LabelSelector, PolicyPort, Requirement


def block_in(wide: IPBlock, narrow: IPBlock) -> bool:
    """Whether all addresses of the narrow block are in the wide one."""
    if wide.cidr is None or narrow.cidr is None or not is_subset(narrow.cidr, wide.cidr):
        return False
    return all(
        any(is_subset(hole, other) for other in narrow.excepts) or not _overlap(hole, narrow.cidr)
        for hole in wide.excepts
    )


def _overlap(one: Cidr, other: Cidr) -> bool:
    return is_subset(one, other) or is_subset(other, one)


def port_in(wide: PolicyPort, narrow: PolicyPort) -> bool:
    """Whether all ports that the narrow entry means, the wide one means, too."""
    if wide.protocol != narrow.protocol:
        return False
    if wide.port is None:
        return True
    if isinstance(wide.port, str) or not isinstance(narrow.port, int):
        return wide.port == narrow.port
    return wide.port <= narrow.port and (narrow.end_port or narrow.port) <= (wide.end_port or wide.port)


def implies(narrow: LabelSelector, wide: LabelSelector) -> bool:
    """Whether whatever the narrow selector matches, the wide one matches, too, as far as it is plain."""
    return all(any(_implies(mine, theirs) for mine in narrow.requirements) for theirs in wide.requirements)


def _implies(narrow: Requirement, wide: Requirement) -> bool:
    if narrow.key != wide.key:
        return False
    mine, theirs = set(narrow.values), set(wide.values)
    match wide.operator:
        case "In":
            return narrow.operator == "In" and mine <= theirs
        case "Exists":
            return narrow.operator in ("In", "Exists")
        case "DoesNotExist":
            return narrow.operator == "DoesNotExist"
        case "NotIn":
            return (
                (narrow.operator == "In" and not mine & theirs)
                or (narrow.operator == "NotIn" and theirs <= mine)
                or narrow.operator == "DoesNotExist"
            )
