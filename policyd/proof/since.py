"""Whether a ruleset is still proved after a change, by looking at what differs alone. Pure.

What is not found the same is compared, or else nothing is said and a proof from nothing must say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from policyd.cluster.ambient import for_mesh
from policyd.cluster.state import ClusterState
from policyd.kube.registry import NETWORK_POLICY, POD
from policyd.proof.about import About
from policyd.proof.at_hooks import AtHooks
from policyd.proof.cluster import FAMILIES, Cluster
from policyd.proof.differing import Rulesets, addresses_of, asked_by, having, unlike, unlike_addresses
from policyd.proof.frames_since import FramesSince
from policyd.proof.ground import lay_hooks, lay_points, lay_policies, ports_line
from policyd.proof.hooks import Expected, Scene
from policyd.proof.line import Line
from policyd.proof.mapped import Mapped, likely
from policyd.proof.meaning import Meaning
from policyd.proof.near import Near, near_of
from policyd.proof.prove import check_form
from policyd.proof.said import Keys, Said
from policyd.proof.space import Space, Unprovable
from policyd.proof.walk import of_table
from policyd_compiler.nft.ast import Chain, Goto, Jump, Set, Table, VerdictMap
from policyd_compiler.nft.keys import KEY, Family
from policyd_compiler.options import Options

#: With more addresses that differ a proof from nothing takes no longer.
MOST_ADDRESSES = 2000


class Given(NamedTuple):
    """A cluster, the ruleset that is held to its policies, and those of them that allow nothing."""

    state: ClusterState
    table: Table
    closed: frozenset[str] = frozenset()


def is_still_proved(before: Given, now: Given, node: str, options: Options) -> bool:
    """Whether `now` is proved, and plain, if `before` was so. False says nothing: `prove` does."""
    before, now = (each._replace(state=for_mesh(each.state, options)) for each in (before, now))
    try:
        check_form(now.table)
        _Since(before, now, node, options).check()
    except Unprovable:
        return False
    return True


@dataclass
class _Since:
    """Two of them, compared. Raises Unprovable for whatever is not shown."""

    before: Given
    now: Given
    node: str
    options: Options

    def check(self) -> None:
        """Compare what differs: pods with everybody, everybody with addresses, and the hooks."""
        was, is_ = self.before.state, self.now.state
        if was.nodes != is_.nodes or was.missing_namespaces is not is_.missing_namespaces:
            raise Unprovable("nodes differ")
        if sum(map(len, self._differing.values())) > MOST_ADDRESSES:
            raise Unprovable("too many addresses differ")
        some = any(self._differing.values())
        for family in FAMILIES:
            said = Said(family, self._rulesets, self._clusters, self._near, self._unlike_policies)
            if further := said.further():
                some = True
                self._compare_pods(family, further)
            if self._differing[family]:
                self._compare_addresses(family, self._concerned(said))
        if self._hooks_differ():
            self._check_closed()
            for family in FAMILIES:
                self._compare_hooks(family)
        elif some:
            self._check_closed()
        self._compare_frames()

    # --- what differs ----------------------------------------------------------------------------------

    @cached_property
    def _rulesets(self) -> Rulesets:
        return Rulesets(self.before.table, self.now.table)

    @cached_property
    def _near(self) -> tuple[Near, Near]:
        return near_of(self.before.table), near_of(self.now.table)

    @cached_property
    def _differing(self) -> Mapping[Family, set[int]]:
        """The addresses of which clusters or rulesets do not say the same."""
        found = unlike_addresses(self.before.state, self.now.state)
        for family, addresses in self._rulesets.addresses.items():
            found[family] |= addresses
        return found

    @cached_property
    def _unlike_policies(self) -> frozenset[str]:
        was, is_ = self.before.state, self.now.state
        keys = {key for key, _, _ in unlike(was.policies, is_.policies)}
        keys |= {key for key, _, _ in unlike(was.cluster_policies, is_.cluster_policies)}
        return frozenset(keys | (self.before.closed ^ self.now.closed))

    @cached_property
    def _looked_at(self) -> Mapping[Family, frozenset[int]]:
        """The addresses that differ, those of the node's pods, and those in maps."""
        found: dict[Family, set[int]] = {family: set(self._differing[family]) for family in FAMILIES}
        for given, near in zip((self.before, self.now), self._near, strict=True):
            for key in having(given.state.pods, "node", {self.node}):
                for family, address in addresses_of(given.state.pods[key]):
                    found[family].add(address)
            for part in near.asked_parts:
                keys = {key for key, _ in part.elements if isinstance(key, int)}
                found[4 if part.key is KEY[4] else 6] |= keys
        return {family: frozenset(addresses) for family, addresses in found.items()}

    @cached_property
    def _clusters(self) -> tuple[Cluster, Cluster]:
        """Both clusters, as far as these addresses go."""
        return self._among(self.before), self._among(self.now)

    def _among(self, given: Given) -> Cluster:
        only, state = self._looked_at, given.state
        claiming = {*having(state.pods, "v4", only[4]), *having(state.pods, "v6", only[6])}
        # Sorted, so that of an address with several claimants it is the same one first, before and now.
        pods = {key: state.pods[key] for key in sorted(claiming)}
        namespaces = {pod.namespace for pod in pods.values()}
        governing = having(state.policies, "namespace", namespaces)
        policies = {key: state.policies[key] for key in governing}
        kept = {**state.by_kind, POD.name: pods, NETWORK_POLICY.name: policies}
        return Cluster(replace(state, by_kind=kept), self.node, given.closed, only)

    # --- pods with everybody -----------------------------------------------------------------------------

    @cached_property
    def _everybody(self) -> Cluster:
        return Cluster(self.now.state, self.node, self.now.closed)

    def _compare_pods(self, family: Family, further: Keys) -> None:
        """Compare what is said of some pods, whoever their peer is."""
        cluster = self._everybody
        table = self._asked_of(further)
        space = lay_policies(cluster, table, family, self._ports(cluster, table))
        self._compare(cluster, table, space, further)

    def _asked_of(self, keys: Keys) -> Table:
        """What is asked where maps are asked for these keys, and nothing else."""
        chains: dict[str, Chain] = {}
        maps: list[VerdictMap] = []
        for name, of in keys.items():
            part = self._rulesets.maps[name]
            kept = tuple((key, verdict) for key, verdict in part.elements if key in of)
            maps.append(replace(part, elements=kept))
            for _, verdict in kept:
                if isinstance(verdict, Jump | Goto):
                    chains.update(self._rulesets.led_to(str(verdict.chain)))
        asked = {each for chain in chains.values() for rule in chain.rules for each in asked_by(rule)}
        table = self.now.table
        maps += [part for part in table.maps if part.name in asked and part.name not in keys]
        sets = tuple(part for part in table.sets if part.name in asked)
        return replace(table, sets=sets, maps=tuple(maps), chains=tuple(chains.values()))

    def _compare(self, cluster: Cluster, table: Table, space: Space, keys: Keys) -> None:
        meaning = Meaning(cluster, space.family, space.addresses, space.asked)
        mapped = Mapped(meaning, space, of_table(space, table))
        for part, side in self._near[1].asked_of(space.family):
            among = keys.get(str(part.name))
            if among is not None:
                for doubt in mapped.doubts(part, likely(part, side)[0], among):
                    raise Unprovable(f"chain {doubt.chain} does something else")

    # --- everybody with addresses --------------------------------------------------------------------------

    def _concerned(self, said: Said) -> Keys:
        """The pods of which addresses that differ may be judged otherwise."""
        differing, was, is_ = self._differing[said.family], *self._clusters
        claimants = tuple(
            (cluster, pod)
            for cluster in (was, is_)
            for address in differing
            for pod in cluster.claims[said.family].get(address, ())
        )
        held = [differing.intersection(cluster.claims[said.family]) for cluster in (was, is_)]
        return said.concerned(About(claimants), pods_differ=held[0] != held[1])

    def _compare_addresses(self, family: Family, concerned: Keys) -> None:
        """Compare what is said of pods, of peers whose address differs."""
        points, cluster = self._looked_at[family], self._clusters[1]
        table = self._asked_of(concerned)
        table = replace(
            table,
            sets=tuple(_held(part, points) for part in table.sets),
            maps=tuple(_mapped(part, points) for part in table.maps),
        )
        space = lay_points(points, table, family, self._ports(cluster, table))
        self._compare(cluster, table, space, concerned)

    def _ports(self, cluster: Cluster, table: Table) -> Line:
        return ports_line(cluster, Scene(cluster, self.options).tunnel_ports, table)

    # --- frames ------------------------------------------------------------------------------------------

    def _compare_frames(self) -> None:
        FramesSince(
            (self.before.state, self.now.state),
            self._clusters,
            (self.before.table.bridge, self.now.table.bridge),
            self.options,
            self._differing,
            self._unlike_policies,
        ).check(self._among_everybody)

    def _among_everybody(self, family: Family) -> Meaning:
        """What policies mean, whoever their peer is."""
        cluster, table = self._everybody, self.now.table
        ports = self._ports(cluster, table)
        space = lay_policies(cluster, replace(table, sets=(), maps=(), chains=()), family, ports)
        return Meaning(cluster, family, space.addresses, space.asked)

    # --- hooks ---------------------------------------------------------------------------------------------

    def _hooks_differ(self) -> bool:
        """Whether anything differs that hooks depend on."""
        was, is_ = self._clusters
        return (
            self._near[0] != self._near[1]
            or was.local != is_.local
            or was.isolated != is_.isolated
            or was.state.attachments != is_.state.attachments
            or was.attached != is_.attached
        )

    def _check_closed(self) -> None:
        """That some pod is closed to somebody, before and now, where hooks depend on it."""
        for cluster in self._clusters:
            scene = Scene(cluster, self.options)
            if not self.options.pod_interfaces or scene.bridged or not scene.isolated_for_ingress:
                continue
            if not any(self._is_closed(cluster, family) for family in FAMILIES):
                raise Unprovable("nobody is seen to be closed")

    def _is_closed(self, cluster: Cluster, family: Family) -> bool:
        """Whether a pod is closed to one of the addresses that are looked at."""
        table = replace(self.now.table, sets=(), maps=(), chains=())
        space = lay_points(self._looked_at[family], table, family, self._ports(cluster, table))
        meaning = Meaning(cluster, family, space.addresses, space.asked)
        for address in cluster.isolated["ingress", family]:
            isolation = meaning.isolation("ingress", address)
            allowed = isolation.allowed if isolation is not None else ()
            if sum(peers for peers, ports in allowed if ports == space.asked.full) != space.addresses.full:
                return True
        return False

    def _compare_hooks(self, family: Family) -> None:
        cluster = self._clusters[1]
        # What depends on it is looked at by _check_closed.
        scene = Scene(cluster, self.options, restricts=True)
        space = lay_hooks(cluster, scene, self.now.table, family, self._ports(cluster, self.now.table))
        hooks = AtHooks(Expected(space, scene), self.now.table)
        kinds = {name: likely(hooks.maps[name], side)[0] for name, side in hooks.asked.items()}
        for found in hooks.doubts(kinds):
            raise Unprovable(f"chain {found.chain} does something else")


def _held(part: Set, points: frozenset[int]) -> Set:
    """A set without single addresses that are not looked at."""
    if set(map(type, part.elements)) != {int}:
        return part
    return replace(part, elements=tuple(points.intersection(part.elements)))


def _mapped(part: VerdictMap, points: frozenset[int]) -> VerdictMap:
    """A map without single addresses that are not looked at."""
    kept = (each for each in part.elements if not isinstance(each[0], int) or each[0] in points)
    return replace(part, elements=tuple(kept))
