"""A ruleset that follows what changes in a cluster: what that touches is worked out, and nothing else.

Made of a full build. A change gives the ruleset that a build of the new cluster would give, byte by byte.
Pods of other nodes change elements, which are worked out one by one. Where that is not enough, the isolations
that are concerned are resolved and lowered again, and the node's own pods are asked which are theirs. What
is not certain is not guessed: then the answer is None, and the graph is of no use any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from policyd.cluster.ambient import meant
from policyd.cluster.attachments import Attachments
from policyd.cluster.findings import Finding
from policyd.cluster.state import ClusterState
from policyd.graph.assemble import Setting
from policyd.graph.changes import ObjectChange, Step
from policyd.graph.claims import Holding, Row, merge
from policyd.graph.hosts import Found, Turned
from policyd.graph.judging import Judging
from policyd.graph.places import Policies
from policyd.graph.profiles import Counts
from policyd.graph.spaces import Spaces
from policyd.graph.tables import with_notes
from policyd.graph.tiers import Tiers
from policyd.kube.objects import ClusterNetworkPolicy, Namespace, NetworkPolicy, Node, Pod
from policyd.kube.registry import CLUSTER_NETWORK_POLICY, NAMESPACE, NETWORK_POLICY, NODE, POD
from policyd.pipeline import Build, Ruleset, as_open
from policyd_compiler.delta import Changes
from policyd_compiler.one_host import CannotTell
from policyd_compiler.ruleset import with_parts

#: So many pods at most are counted one by one where a namespace has other labels.
_FEW = 256
#: Kinds of which it is known here what they mean.
_KNOWN = frozenset(kind.name for kind in (CLUSTER_NETWORK_POLICY, NAMESPACE, NETWORK_POLICY, NODE, POD))


class Graph:
    """The ruleset of one node for one cluster, and what it takes to follow changes.

    The work of a change depends on the pods and isolations of the node and on what the change is about, not
    on how many pods or other policies there are; but for masks of pods, and elements that it copies.
    """

    def __init__(self, built: Build, state: ClusterState, node: str) -> None:
        """`built` is of `state`, and is not to be used for another graph."""
        self.counts = Counts()
        #: Why it could not follow.
        self.reason = "policies are closed for their cost, or of a kind that is not followed"
        # Without what it was made of, which may be large.
        self._ruleset = Ruleset(
            built.table, built.owners, built.warnings, built.stats, built.findings, built.idle, built.over
        )
        sources = built.sources
        # With some policies closed for their cost, others may be opened by a pod that goes.
        self._is_of_use = not (
            built.over or any(found for name, found in state.by_kind.items() if name not in _KNOWN)
        )
        if not self._is_of_use:
            return
        state = sources.state  # with the policies that were resolved: a rule is known by its identity
        self._options = sources.options
        claims, index = sources.resolved.claims, sources.resolved.resolver.index
        self._node = node
        self._spaces = Spaces(state)
        self._tiers = Tiers(state.cluster_policies.values(), self._spaces)
        self._policies = Policies(state.policies.values(), self._tiers)
        self._holding = Holding(claims, state.pods, state.nodes.values(), index)
        setting = Setting(
            node, sources.options, sources.budget, sources.closed, state.nodes, state.attachments
        )
        self._judging = Judging(built, self._holding, self._policies, self._spaces, setting, self.counts)

    @property
    def ruleset(self) -> Ruleset:
        """The ruleset after the last change that was followed."""
        return self._ruleset

    def change(self, changes: Iterable[ObjectChange], attachments: Attachments | None = None) -> Step | None:
        """Take changes, all of them since the last time; None where a build has to tell.

        `attachments`: those that are known now, if they are others.
        """
        if not self._is_of_use:
            return None
        self._is_of_use = False  # unless all goes well
        try:
            found = [enforced for each in changes if (enforced := self._enforced(each)) is not None]
            step = self._change(found, attachments)
        except CannotTell as why:
            self.reason = str(why)
            return None
        self._ruleset, self._is_of_use = step.ruleset, True
        return step

    def _enforced(self, change: ObjectChange) -> ObjectChange | None:
        """A change as it is enforced, where policies are others for a mesh; None for what changes nothing."""
        if change.before == change.after:
            return None
        before, after = (meant(item, self._options) for item in (change.before, change.after))
        return ObjectChange(change.key, before, after)

    def _change(self, changes: list[ObjectChange], attachments: Attachments | None) -> Step:
        before: Found = {}
        after: Found = {}
        turned = Turned()
        gone, come, spaces, is_else = self._take(changes, attachments)
        judging = self._judging
        stay = self._renamed_hosts(come)
        for row in (*gone, *(stay or ())):
            judging.hosts.count(row, before, turned, by=-1)
        flipped, renamed = self._rename(come, turned, counted=stay is not None)
        for row in (*come, *(stay or ())):
            judging.hosts.count(row, after, turned, by=1)
        new = len(come) + len(stay or ())
        judging.profiles.recount(flipped)
        turned.dirty |= judging.narrowed(turned.touched)
        elements = judging.hosts.changes(before, after, turned)
        complete = judging.ledger.change(elements)
        spaces |= judging.move(gone, come)
        spaces |= self._tiers.rename(renamed) & judging.spaces()
        if is_else or spaces or turned.dirty or not complete:
            judging.make(turned, spaces, new, self._ruleset.table)
            return self._step(judging.ruleset(), None)
        judging.check(turned.touched, new)
        return self._step(self._with_elements(elements, turned), elements)

    def _take(
        self, changes: list[ObjectChange], attachments: Attachments | None
    ) -> tuple[list[Row], list[Row], set[str], bool]:
        """Take what changes: the hosts that there are no longer, and those that there are now.

        And the namespaces of which policies are others; and whether the frame is another.
        """
        gone: list[Row] = []
        come: list[Row] = []
        spaces: set[str] = set()
        is_else = self._judging.attach(attachments)
        for change in changes:
            match change.before, change.after:
                case (Pod() | None) as was, (Pod() | None) as is_:
                    merge(gone, come, *self._holding.change(was, is_))
                    self._count(was, is_)
                case (NetworkPolicy() | None) as was, (NetworkPolicy() | None) as is_:
                    self._policies.change(was, is_)
                    self._count(was, is_)
                    spaces.update(policy.namespace for policy in (was, is_) if policy is not None)
                case (ClusterNetworkPolicy() | None) as was, (ClusterNetworkPolicy() | None) as is_:
                    self._tiers.change(was, is_)
                    spaces |= self._judging.spaces()
                    is_else = True
                case (Namespace() | None) as was, (Namespace() | None) as is_:
                    self._spaces.give(was, is_)
                case ((Node() | None), (Node() | None)):
                    is_else = self._judging.renode(change.before, change.after) or is_else
                case _:
                    raise CannotTell("a kind of objects changed that is not followed")
        merge(gone, come, *self._holding.move(self._judging.nodes))
        return gone, come, spaces and spaces & self._judging.spaces(), is_else

    def _count(self, was: Pod | NetworkPolicy | None, is_: Pod | NetworkPolicy | None) -> None:
        if was is not None:
            self._spaces.count(was, -1)
        if is_ is not None:
            self._spaces.count(is_, 1)

    def _renamed_hosts(self, come: list[Row]) -> list[Row] | None:
        """The hosts that were there before, of namespaces with other labels; None if they are many.

        Few are counted as if they went and came. For many it costs less to make isolations again; and where
        pods of this node on bridges are among them, more is asked of isolations than elements.
        """
        names = self._spaces.renamed()
        if sum(map(self._holding.index.pods_in, names)) > _FEW:
            return None
        found = {row.key: row for name in names for row in self._holding.rows_in(name)}
        for row in come:
            found.pop(row.key, None)
        is_here = any(pod.node == self._node for row in found.values() for pod in row.pods)
        return None if is_here and self._judging.setting.is_bridged else list(found.values())

    def _rename(self, come: list[Row], turned: Turned, *, counted: bool) -> tuple[set[int], set[str]]:
        """Namespaces have other labels: the selectors that may select others now, and which namespaces.

        Who has just come has been selected by none yet. `counted`: whether others are counted one by one.
        """
        flipped: set[int] = set()
        names: set[str] = set()
        profiles, index = self._judging.profiles, self._holding.index
        for before, after in self._spaces.take_changed():
            name = (before or after or Namespace("", ())).name
            names.add(name)
            index.rename(before, after)
            if counted:
                profiles.forget()
                continue
            numbers, places = profiles.rename(name, before, after)
            flipped |= numbers
            new = sum(pod.namespace == name for row in come for pod in row.pods)
            if index.in_namespace(name).bit_count() > new:
                turned.dirty |= places
                turned.idle = turned.idle or bool(numbers)
        return flipped, names

    def _with_elements(self, changes: Changes, turned: Turned) -> Ruleset:
        """The ruleset where nothing but elements, and what is noted of rules, is another."""
        old, judging = self._ruleset, self._judging
        parts = {name: judging.ledger.parts[name] for name in changes}
        table = with_notes(with_parts(old.table, parts), judging.notes(turned.rules))
        more = sum(
            (after is not None) - (before is not None)
            for of_part in changes.values()
            for before, after in of_part.values()
        )
        idle = judging.idle() if turned.idle else old.idle
        stats = replace(old.stats, elements=old.stats.elements + more, idle_peers=len(idle))
        return Ruleset(table, old.owners.of(table), old.warnings, stats, old.findings, idle)

    def _step(self, made: Ruleset, changes: Changes | None) -> Step:
        """With what is odd in the cluster now."""
        found = self._holding.findings()
        warnings = (*self._spaces.warnings(), *self._tiers.warnings, *(finding.text for finding, _ in found))
        here = (self._placed(f, pods) for f, pods in found if any(pod.node == self._node for pod in pods))
        findings = as_open(tuple(here), self._judging.setting.options)
        ruleset = replace(made, warnings=warnings, findings=findings)
        return Step(self._ruleset, ruleset, changes)

    def _placed(self, finding: Finding, pods: tuple[Pod, ...]) -> Finding:
        """A pod of this node whose address does not count is open, whatever policies select it (NP-167)."""
        if finding.name != "address-impossible":
            return finding
        is_open = any(pod.node == self._node and self._is_selected(pod) for pod in pods)
        return replace(finding, is_open=is_open)

    def _is_selected(self, pod: Pod) -> bool:
        return bool(self._policies.selecting(pod)) or self._tiers.is_subject(pod)
