"""Whether the table in family bridge is still proved after a change, by looking at what differs alone.

What becomes of a frame follows from who is behind the ports by which it comes and goes, from its addresses,
and from what policies allow to all peers together. Where the first two are touched frames are compared again;
that the last is as before is shown, or else nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.kube.objects import Pod
from policyd.proof.about import About
from policyd.proof.bridge import TO_ALL
from policyd.proof.cluster import DIRECTIONS, FAMILIES, Cluster, Direction, policy_key
from policyd.proof.differing import having
from policyd.proof.hooks import DHCP_SERVER
from policyd.proof.line import Line, mask_of
from policyd.proof.meaning import Isolation, Meaning
from policyd.proof.points import Points
from policyd.proof.ports import Ports
from policyd.proof.prove_bridge import OfBridge, addresses_line
from policyd.proof.space import Asked, Unprovable
from policyd.proof.touched import Touched, find_touched
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.keys import Family
from policyd_compiler.options import Options

#: What policies mean now for a family, among all addresses.
Among: TypeAlias = Callable[[Family], Meaning]
#: Addresses that are never a pod's.
_NOBODYS: Mapping[Family, tuple[int, int]] = {4: (0, 0xFFFF_FFFF), 6: (0, (1 << 128) - 1)}


@dataclass(frozen=True)
class FramesSince:
    """Before and now: all that is known, the clusters as far as addresses are looked at, and the tables.

    `differing`: the addresses of which clusters or rulesets do not say the same.
    """

    states: tuple[ClusterState, ClusterState]
    clusters: tuple[Cluster, Cluster]
    tables: tuple[Table | None, Table | None]
    options: Options
    differing: Mapping[Family, set[int]]
    unlike_policies: frozenset[str]
    entering: Touched = field(default_factory=Touched)
    leaving: Touched = field(default_factory=Touched)

    def check(self, among: Among) -> None:
        """Compare what is touched. Raises Unprovable for whatever is not shown."""
        ports = self._ports
        before, now = self.tables
        if before is None or now is None:
            if before is not now or any(each.guarded for each in ports):
                raise Unprovable("a table in family bridge is not there")
            return
        was, is_ = (cluster.state.attachments for cluster in self.clusters)
        if _beside(was) != _beside(is_):
            raise Unprovable("what is known of bridges differs")
        self._touch_bound(was, is_)
        self._touch_pods(was, is_)
        touched = {"prerouting": self.entering, "forward": self.leaving}
        find_touched(before, now, ports[1].names, touched)
        for family in FAMILIES:
            self._touch_single(family)
            self._check_throughout(family)
        for family in FAMILIES if self.entering or self.leaving else ():
            meaning = among(family)
            frames = OfBridge(Ports(meaning.cluster, self.options), now, meaning)
            frames.compare(touched)
            if frames.found or frames.unclear:
                raise Unprovable("something else becomes of frames")

    @property
    def _ports(self) -> tuple[Ports, Ports]:
        before, now = (Ports(cluster, self.options) for cluster in self.clusters)
        return before, now

    # --- what is touched -------------------------------------------------------------------------------

    def _touch_bound(self, was: Attachments, is_: Attachments) -> None:
        """Touch the ports with other addresses behind them: nothing else decides what comes in by a port."""
        (before, now), touched = self._ports, self.entering
        for family in FAMILIES:
            touched.ports.update(port for port, _ in before.bound[family] ^ now.bound[family])
            touched.unknown |= before.loose(family) != now.loose(family)
            touched.unknown |= before.bound[family] != now.bound[family]
        touched.ports.update({*was.ports} ^ {*is_.ports})
        for port, mac in before.macs ^ now.macs:
            touched.ports.add(port)
            touched.macs.add(mac)

    def _touch_pods(self, was: Attachments, is_: Attachments) -> None:
        """Touch the ports and addresses of pods that are not the same, or not judged by the same policies."""
        pairs = was.pods.items() ^ is_.pods.items()
        keys, touched = {key for key, _ in pairs}, self.leaving
        before, now = self._ports
        for ports in (before, now):
            for family, address, pods in ports.claims:
                own = {f"{pod.namespace}/{pod.name}" for pod in pods}
                differs = address in self.differing[family] or not keys.isdisjoint(own)
                if differs or any(self._is_judged_otherwise(ports.cluster, pod) for pod in pods):
                    touched.addresses[family].add(address)
                    keys |= own
        touched.ports.update(
            known.pods[key].interface for known in (was, is_) for key in keys & known.pods.keys()
        )
        touched.ports.update({*was.ports} ^ {*is_.ports})
        # Behind a port that is not known may be whoever is hidden.
        hidden = [{(family, address) for family, address, _ in ports.hidden} for ports in (before, now)]
        others = (address in touched.addresses[family] for family, address in hidden[0] | hidden[1])
        touched.unknown |= hidden[0] != hidden[1] or any(others)

    def _is_judged_otherwise(self, cluster: Cluster, pod: Pod) -> bool:
        """Whether one of the policies that govern a pod differs."""
        return bool(self.unlike_policies) and any(
            policy_key(policy) in self.unlike_policies
            for direction in DIRECTIONS
            for policy in cluster.governing(pod, direction)
        )

    def _touch_single(self, family: Family) -> None:
        """Touch pods' addresses of which something is said alone, before or now, and of which that differs.

        By a named port blocks may allow more of such an address than of others (`Leaving._further`).
        """
        lines = [
            addresses_line(cluster, table, family)
            for cluster, table in zip(self.clusters, self.tables, strict=True)
            if table is not None
        ]
        were, are = (frozenset(_singles(line)) for line in lines)
        unlike = (were ^ are | are & self.differing[family]) - self.leaving.addresses[family]
        attribute = "v4" if family == 4 else "v6"
        for state in self.states if unlike else ():
            held = (getattr(state.pods[key], attribute) for key in having(state.pods, attribute, unlike))
            self.leaving.addresses[family].update(held)

    # --- what is said of all peers together ------------------------------------------------------------

    def _check_throughout(self, family: Family) -> None:
        """That what isolations allow to all of everybody is as before, for pods that are not touched.

        It is the least that any peer is allowed. So it is the same if those who differ are allowed no less
        than some who do not, before and now.
        """
        others = self.differing[family]
        if not others:
            return
        if family == 6 and max(others) >= TO_ALL[6][0]:
            raise Unprovable("a pod has an address of the link")
        same = {*_NOBODYS[family], *self.clusters[1].local[family]} - others
        points = Points((*others, *same, *(a for cluster in self.clusters for a in cluster.claims[family])))
        asked = Asked(Line(16, (*self._cuts(), (DHCP_SERVER, DHCP_SERVER))))
        before, now = (Meaning(cluster, family, points, asked) for cluster in self.clusters)
        bits, witnesses = (mask_of(map(points.bit, each), points.count) for each in (others, same))
        about = About(tuple(self._claimants(family, others)))
        for direction in DIRECTIONS:
            for pods in self._untouched():
                if not self._may_say(about, direction, pods):
                    continue
                was, is_ = (meaning.isolation_of(direction, pods) for meaning in (before, now))
                least = _throughout(is_, witnesses, asked)
                if least & ~(_throughout(was, bits, asked) & _throughout(is_, bits, asked)):
                    raise Unprovable("who differs is allowed less than others")

    def _cuts(self) -> Iterator[tuple[int, int]]:
        for cluster in self.clusters:
            yield from cluster.ports()

    def _claimants(self, family: Family, addresses: set[int]) -> Iterator[tuple[Cluster, Pod]]:
        for cluster in self.clusters:
            for address in addresses:
                for pod in cluster.claims[family].get(address, ()):
                    yield cluster, pod

    def _untouched(self) -> Iterator[tuple[Pod, ...]]:
        """The claimants of each address of the node's pods that is not touched."""
        for family, address, pods in self._ports[1].claims:
            if address not in self.leaving.addresses[family]:
                yield pods

    def _may_say(self, about: About, direction: Direction, pods: tuple[Pod, ...]) -> bool:
        governing = self.clusters[1].governing
        return any(about.may_say(policy, direction) for pod in pods for policy in governing(pod, direction))


def _beside(known: Attachments) -> tuple[object, ...]:
    """What is known of bridges beside their pods."""
    return known.bridges, known.others, known.tunnels, known.shared


def _singles(line: Line) -> Iterator[int]:
    """The numbers that are told from all others."""
    stretches = map(line.stretch, range(line.count))
    return (low for low, high in stretches if low == high)


def _throughout(isolation: Isolation | None, peers: int, asked: Asked) -> int:
    return asked.full if isolation is None else isolation.ports_throughout(peers, asked.full)
