"""What is odd about the addresses that pods claim, as values: for warnings and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd.kube.objects import Pod
from policyd_compiler.addr import print_address

Name: TypeAlias = Literal["address-claimed", "address-impossible"]
NAMES: tuple[Name, ...] = ("address-claimed", "address-impossible")

#: Claimants that a sentence names; the rest is counted.
_NAMED = 8


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """`name` is that of the agent's condition, `text` a sentence with pods and address.

    `pods` are concerned, as `namespace/name`. `is_open`: packets of a pod of this node are not judged as a
    policy wants; set by who knows the node and its settings.
    """

    name: Name
    text: str
    pods: tuple[str, ...]
    is_open: bool = False


def claimed(claimants: Sequence[Pod], family: int, value: int) -> Finding:
    """Several live pods claim one address (NP-166); the first is reported as the one that holds it."""
    keys = tuple(key_of(pod) for pod in claimants)
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    text = (
        f"{print_address(family, value)} is claimed by {len(keys)} pods, {', '.join(keys[:_NAMED])}{more}: "
        f"it is isolated as all of them, and a peer only where one entry selects them all; "
        f"most probably it is {keys[0]}'s"
    )
    return Finding("address-claimed", text, keys)


def impossible(pod: Pod, family: int, value: int, why: str) -> Finding:
    """A pod claims an address that no pod can have (NP-167)."""
    text = (
        f"pod {key_of(pod)} claims {print_address(family, value)}, {why}: it counts as having no such address"
    )
    return Finding("address-impossible", text, (key_of(pod),))


def key_of(pod: Pod) -> str:
    """The key of a pod: `namespace/name`."""
    return f"{pod.namespace}/{pod.name}"
