"""Settings that change what is compiled: what they mean, what they may be, and the decision behind each.

The one description of them: the flags of `compile`, those of the agent, its variables and its file are made
from it. What passes here is taken by nft as it stands, so a setting never keeps a ruleset out of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.words import WORDS

NodeEgress: TypeAlias = Literal["enforce", "exempt"]
Hairpin: TypeAlias = Literal["allow", "evaluate"]
PodTunnels: TypeAlias = Literal["drop", "allow"]
Deny: TypeAlias = Literal["drop", "reject"]
IstioAmbient: TypeAlias = Literal["strict", "translate"]

#: The port by which pods of Istio's ambient mesh reach each other, whatever port is meant.
HBONE = 15008

#: What nft takes as a table's name, without what is awkward in a shell.
TABLE = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
_TABLE = re.compile(TABLE)
#: As the kernel has it (dev_valid_name: at most 15 bytes), without what is awkward in a ruleset. A `*` at the
#: end counts for nft, so it leaves 14.
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}|[A-Za-z0-9_.@-]{1,14}\*")


def table_mistake(name: str) -> str | None:
    """Say why nothing can be the name of the table; None for one that can."""
    if not _TABLE.fullmatch(name):
        return "must be a letter, and at most 63 letters, digits, '_', '.', '-'"
    if name in WORDS:
        return "must not be a word of nft's own"
    return None


def interface_mistake(name: str) -> str | None:
    """Say why nothing can be the name of pods' interfaces, or of all that begin so; None for one that can."""
    if not _INTERFACE.fullmatch(name) or name in (".", ".."):
        return f"{name!r} is not an interface: at most 15 letters, digits and '_.@-'; '*' at the end"
    if name == "lo":
        return "'lo' leads to no pod"
    return None


def covering(names: Iterable[str]) -> tuple[str, ...]:
    """The same interfaces in as few names as can be, sorted: a set of the kernel's takes no overlaps."""
    found: list[str] = []
    # A prefix sorts before what begins with it, and of two equal ones the wildcard counts.
    for name in sorted(set(names), key=lambda name: (name.rstrip("*"), not name.endswith("*"))):
        if not (found and found[-1].endswith("*") and name.startswith(found[-1][:-1])):
            found.append(name)
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Options:
    """How policies become rules.

    `pod_interfaces` are names of this node's pod interfaces (a trailing `*` for all that begin so); with
    any, unknown local pods are closed (decisions 4). `node_egress`: whether a pod's traffic to its own node
    is judged (decisions 2). `hairpin`: whether a pod that reaches itself through its own Service is judged
    (decisions 1). `pod_tunnels`: whether pods reach nodes' tunnels (NP-163). `deny`: drop silently, or
    reject for debugging (decisions 5). `policy_budget` and `namespace_budget`: what more than that would
    cost is quarantined (`budget.py` says what an element is). `istio_ambient`: whether policies mean the
    ports of applications where Istio's ambient mesh carries them by its own (decisions 39). Raises
    CompilerBug for names that nft would not take: the reader of settings asks `table_mistake` and
    `interface_mistake` first.
    """

    table: str = field(default="policyd", metadata={"help": "name of the nft table, of family inet"})
    pod_interfaces: tuple[str, ...] = field(
        default=(),
        metadata={"help": "interfaces of pods, such as cni0,veth*: unknown pods behind them are closed"},
    )
    node_egress: NodeEgress = field(
        default="enforce",
        metadata={"help": "whether egress policies judge traffic of a pod to its own node"},
    )
    hairpin: Hairpin = field(
        default="allow",
        metadata={"help": "whether policies judge a pod that reaches itself through its Service"},
    )
    deny: Deny = field(default="drop", metadata={"help": "how packets are denied; reject is for debugging"})
    pod_tunnels: PodTunnels = field(
        default="drop",
        metadata={
            "help": "whether pods may send into the tunnels of nodes (VXLAN, Geneve, IPIP, GRE, WireGuard)"
        },
    )
    istio_ambient: IstioAmbient = field(
        default="strict",
        metadata={
            "help": "in Istio's ambient mesh: strict, policies must allow port 15008; translate, the ports "
            "that they name count, in each pod's own network namespace"
        },
    )
    policy_budget: int = field(
        default=80_000,
        metadata={"help": "elements that one policy may cost a node; one that costs more is quarantined"},
    )
    namespace_budget: int = field(
        default=120_000,
        metadata={"help": "elements that a namespace's policies may cost; its dearest are quarantined"},
    )

    def __post_init__(self) -> None:
        """Hold what the printer relies on."""
        for mistake in (table_mistake(self.table), *map(interface_mistake, self.pod_interfaces)):
            if mistake is not None:
                raise CompilerBug(mistake)
