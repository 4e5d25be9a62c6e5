"""What one node must enforce, in addresses and ports. No Kubernetes object appears here.

A Snapshot holds the node's endpoints. For each direction an endpoint is open (None) or has an Isolation: an
ordered list of stages, one for each tier. Rules of a stage are tried in order; a packet that no rule of a
stage matches gets the stage's `otherwise`. Behind the last stage the packet is accepted. Where several pods
claim an endpoint's address, each that policies select has stages of its own, and all of them must let the
packet pass (NP-166).

Peers are bit masks over `Snapshot.hosts`: bit i stands for hosts[i], whatever families it has. One bit for a
pod keeps both families on the same footing, and makes selector algebra a few machine words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import groupby
from typing import Literal, TypeAlias, TypeGuard

from policyd_compiler.addr import Ranges
from policyd_compiler.layout import NO_LAYOUT, Layout
from policyd_compiler.ports import EVERYTHING, PortSet

Direction: TypeAlias = Literal["ingress", "egress"]


class Action(Enum):
    """What a rule or the end of a stage decides. PASS leaves the stage for the next one."""

    ACCEPT = "accept"
    DENY = "deny"
    PASS = "pass"  # noqa: S105 an action, not a password


class Tier(Enum):
    """The tiers in the order in which they are asked. NetworkPolicy is the middle one."""

    ADMIN = "admin"
    NETWORK_POLICY = "networkpolicy"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a rule was written: kind, namespace, name, `rule` such as `ingress[0]`; file and line if any."""

    kind: str
    namespace: str
    name: str
    rule: str = ""
    file: str = ""
    line: int = 0

    @property
    def policy(self) -> str:
        """The policy's name as people write it: `namespace/name`."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.file else ""
        kind = "" if self.namespace else f"{self.kind} "
        return f"{kind}{self.policy}{' ' + self.rule if self.rule else ''}{place}"


@dataclass(frozen=True, slots=True)
class Host:
    """The addresses of one pod, as integers; None where it has none of that family."""

    v4: int | None
    v6: int | None

    def address(self, family: int) -> int | None:
        """The address of a family."""
        return self.v4 if family == 4 else self.v6


@dataclass(frozen=True, slots=True)
class Peers:
    """The other side of a packet: anything, or these hosts and these address ranges (excepts taken out)."""

    anything: bool = False
    hosts: int = 0
    v4: Ranges = ()
    v6: Ranges = ()

    def __bool__(self) -> bool:
        return self.anything or bool(self.hosts or self.v4 or self.v6)

    def ranges(self, family: int) -> Ranges:
        """The address ranges of a family."""
        return self.v4 if family == 4 else self.v6


ANYTHING = Peers(anything=True)


@dataclass(frozen=True, slots=True)
class Rule:
    """If the peer and the port match, `action`. `origins` name every rule that was merged into this one."""

    action: Action
    peers: Peers
    ports: PortSet
    origins: tuple[Origin, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One tier of one direction: rules in order, then `otherwise`. `claimant`: of whom, counted from 0."""

    tier: Tier
    rules: tuple[Rule, ...]
    otherwise: Action
    claimant: int = 0


@dataclass(frozen=True)
class Isolation:
    """What governs a direction of the endpoints that share it. `policies` are those that select them.

    `layout` means nothing: it says in which sets its peers stand.
    """

    direction: Direction
    policies: tuple[Origin, ...]
    stages: tuple[Stage, ...]
    layout: Layout = NO_LAYOUT

    @cached_property
    def hash(self) -> int:
        """The value's hash, computed once: isolations are shared by many endpoints."""
        return hash((self.direction, self.policies, self.stages))

    def __hash__(self) -> int:
        return self.hash

    @cached_property
    def allows_everything(self) -> bool:
        """Whether it is plain that any peer may use any port: then it closes nothing (NP-165)."""
        return all(_allows_everything(stages) for _, stages in groupby(self.stages, lambda s: s.claimant))


def restricts(isolation: Isolation | None) -> TypeGuard[Isolation]:
    """Whether something may be closed to somebody."""
    return isolation is not None and not isolation.allows_everything


def addresses_of(endpoints: Iterable[Endpoint], family: int) -> tuple[int, ...]:
    """The addresses of a family that endpoints have, sorted, each once."""
    return tuple(sorted({a for each in endpoints if (a := each.host.address(family)) is not None}))


def _allows_everything(stages: Iterable[Stage]) -> bool:
    """Of the stages of one claimant."""
    for stage in stages:
        reached = _up_to_anything(stage.rules)
        if any(rule.action is Action.DENY for rule in reached):
            return False
        if reached and _is_anything(reached[-1]):
            if reached[-1].action is Action.ACCEPT:
                return True
        elif stage.otherwise is Action.DENY:
            return False
    return True


def _is_anything(rule: Rule) -> bool:
    return rule.peers.anything and rule.ports == EVERYTHING


def _up_to_anything(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules that decide something: none after one that matches all."""
    for number, rule in enumerate(rules, start=1):
        if _is_anything(rule):
            return rules[:number]
    return rules


@dataclass(frozen=True, slots=True)
class Attachment:
    """The node's end of a pod's link, by which its packets come in.

    `bridge` is the bridge whose port it is, empty where packets are routed. `mac` is the hardware address of
    the pod's end, 48 bits; None where it is not known.
    """

    interface: str
    bridge: str = ""
    mac: int | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """What is known of a node's links besides its pods' own, and of other nodes.

    `bridges` lead to pods. `pod_ports` are the ports of these bridges that do, or may do, and `other_ports`
    the ports of any bridge that lead to no pod. `nodes4`, `nodes6` are addresses of nodes, `tunnel_ports`
    the UDP ports of this node's tunnels (NP-163). By `shared` bridges pods of other nodes are reached, too.
    """

    bridges: tuple[str, ...] = ()
    pod_ports: tuple[str, ...] = ()
    other_ports: tuple[str, ...] = ()
    nodes4: tuple[int, ...] = ()
    nodes6: tuple[int, ...] = ()
    tunnel_ports: tuple[int, ...] = ()
    shared: tuple[str, ...] = ()

    def nodes(self, family: int) -> tuple[int, ...]:
        """The nodes' addresses of a family."""
        return self.nodes4 if family == 4 else self.nodes6


NO_NETWORK = Network()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod on this node. A direction without an Isolation is open: no policy selects the pod in it.

    `claimants` are the pods that claim its addresses, where they are several; who most probably holds them
    comes first (NP-166). `attachments` are their interfaces as far as they are known; an endpoint with none
    is known by its address alone.
    """

    key: str
    host: Host
    ingress: Isolation | None
    egress: Isolation | None
    claimants: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the compiler needs to know about one node.

    `network` is what is known of the node's links.
    """

    node: str
    hosts: tuple[Host, ...]
    endpoints: tuple[Endpoint, ...]
    notes: tuple[str, ...] = field(default=())
    network: Network = field(default_factory=lambda: NO_NETWORK)
