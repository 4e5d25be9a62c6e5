"""Kubernetes objects as policyd needs them: only the fields that decide a verdict, frozen.

Shapes are already defaulted and canonical: what `decode.py` could not understand never gets here.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Protocol: TypeAlias = Literal["TCP", "UDP", "SCTP"]
Operator: TypeAlias = Literal["In", "NotIn", "Exists", "DoesNotExist"]
TierName: TypeAlias = Literal["Admin", "Baseline"]
TierAction: TypeAlias = Literal["Accept", "Deny", "Pass"]

#: Sorted (key, value) pairs; hashable, so equal label sets can be shared.
Labels: TypeAlias = tuple[tuple[str, str], ...]

#: The label that the API server gives every Namespace, and that cannot be changed (NP-040).
NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an object was written. `line` counts from 1; objects from the API server have no Source."""

    file: str
    line: int


class KubeObject(typing.Protocol):
    """What all objects have. Each kind has a frozen dataclass of its own, which its row names."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> Source | None: ...


class Namespaced(KubeObject, typing.Protocol):
    """An object of a kind that is in a namespace."""

    @property
    def namespace(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of a label selector. `matchLabels` entries arrive as `In` with one value."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; with none, everything matches (NP-002, NP-030)."""

    requirements: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class Cidr:
    """A canonical prefix: `network` is an integer with no host bits, `family` is 4 or 6."""

    family: int
    network: int
    prefix: int


@dataclass(frozen=True, slots=True)
class IPBlock:
    """Addresses in `cidr` and in none of `excepts` (NP-074: an except belongs to its own block only).

    `cidr` is None when its text, or an except's, could not be parsed: the block matches nothing (NP-089).
    """

    cidr: Cidr | None
    excepts: tuple[Cidr, ...] = ()


@dataclass(frozen=True, slots=True)
class PodPeer:
    """Pods by label. A missing namespace selector means the policy's own namespace (NP-036)."""

    namespaces: LabelSelector | None
    pods: LabelSelector


Peer: TypeAlias = IPBlock | PodPeer


@dataclass(frozen=True, slots=True)
class PolicyPort:
    """`port` is None for every port of the protocol (NP-018), a number, or a container port's name."""

    protocol: Protocol
    port: int | str | None = None
    end_port: int | None = None


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """`peers` None: every source or destination (NP-014/015). `ports` None: every port and protocol (NP-016).

    An empty tuple is none: every entry was one that cannot be understood (decisions 8). `places`: of each of
    the peers its number in the list that was written, and its line.
    """

    peers: tuple[Peer, ...] | None
    ports: tuple[PolicyPort, ...] | None
    source: Source | None = None
    places: tuple[tuple[int, int], ...] = field(default=(), compare=False, repr=False)


#: The annotation of a policy that switches rules of lint off.
LINT_IGNORE = "policyd.io/lint-ignore"


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """`ingress`/`egress` None: the policy does not name that direction and does not isolate in it.

    `lint_ignore` is what its annotation of that name says.
    """

    namespace: str
    name: str
    pods: LabelSelector
    ingress: tuple[PolicyRule, ...] | None
    egress: tuple[PolicyRule, ...] | None
    source: Source | None = None
    lint_ignore: str = ""


@dataclass(frozen=True, slots=True)
class NodePeer:
    """Every address of the nodes whose labels match, of either family (CNP-025)."""

    nodes: LabelSelector


@dataclass(frozen=True, slots=True)
class PortName:
    """The name of a container port, of whatever protocol the pod gives it (CNP-032)."""

    name: str


#: `networks` arrive as a block each. A PodPeer's namespaces are never None here: missing is all (CNP-020).
TierPeer: TypeAlias = PodPeer | IPBlock | NodePeer
TierPort: TypeAlias = PolicyPort | PortName


@dataclass(frozen=True, slots=True)
class TierRule:
    """A rule of a ClusterNetworkPolicy.

    `peers` None is everybody, `ports` None every packet of every protocol: so says a Deny that stands for a
    rule that was not understood (CNP-040). An Accept that was not has no peers, so it matches nothing.
    """

    action: TierAction
    peers: tuple[TierPeer, ...] | None
    ports: tuple[TierPort, ...] | None
    name: str = ""
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class ClusterNetworkPolicy:
    """`ingress`/`egress` None: no rule for that direction, which is left as it is (CNP-001).

    `subject` None: whom it selects, or where it stands, is not understood, so it has no effect (CNP-046,
    CNP-047). Lower priorities come first, within a tier.
    """

    name: str
    tier: TierName
    priority: int
    subject: PodPeer | None
    ingress: tuple[TierRule, ...] | None
    egress: tuple[TierRule, ...] | None
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class NamedPort:
    """A container port with a name, of a container or a restartable init container (NP-062)."""

    name: str
    protocol: Protocol
    number: int


@dataclass(frozen=True, slots=True)
class Owner:
    """An entry of `ownerReferences`; `uid` is "" where none is written. `controls`: as the controller."""

    kind: str
    name: str
    uid: str = ""
    controls: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """`v4` and `v6` are its addresses as numbers; `terminal` is phase Succeeded or Failed (NP-100).

    `owners` are read for questions only (`registry.ASKED`): an agent has no use for them. `version` is its
    resourceVersion as a number, 0 if it has none; that another one says the same is no change.
    """

    namespace: str
    name: str
    uid: str
    labels: Labels
    node: str | None
    host_network: bool
    terminal: bool
    deleting: bool
    started: str  # RFC 3339 startTime, else creationTimestamp, else ""
    v4: int | None
    v6: int | None
    ports: tuple[NamedPort, ...]
    source: Source | None = None
    owners: tuple[Owner, ...] = ()
    version: int = field(default=0, compare=False, repr=False)

    @property
    def has_address(self) -> bool:
        """Whether it has an address of any family: until then it takes no part in policy."""
        return self.v4 is not None or self.v6 is not None


@dataclass(frozen=True, slots=True)
class Namespace:
    """`labels` always hold `kubernetes.io/metadata.name` (NP-040)."""

    name: str
    labels: Labels
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """`addresses` are the canonical IP addresses of status.addresses."""

    name: str
    labels: Labels
    addresses: tuple[str, ...]
    source: Source | None = None
