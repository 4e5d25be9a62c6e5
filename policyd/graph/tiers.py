"""The ClusterNetworkPolicies of a cluster, and which of them select a pod."""

from __future__ import annotations

from collections.abc import Iterable

from policyd.cluster.index import PodIndex
from policyd.cluster.peers import Holders
from policyd.cluster.tiers import TierPolicies, in_order, says_something, selects, tie_warnings
from policyd.graph.spaces import Spaces
from policyd.kube.objects import ClusterNetworkPolicy, Labels, Node, Pod


class Tiers:
    """All ClusterNetworkPolicies; few, as an administrator writes them."""

    def __init__(self, policies: Iterable[ClusterNetworkPolicy], spaces: Spaces) -> None:
        self._by_name = {policy.name: policy for policy in policies}
        self._spaces = spaces
        self._settle()

    def change(self, before: ClusterNetworkPolicy | None, after: ClusterNetworkPolicy | None) -> None:
        """A policy was, and is now."""
        if before is not None:
            self._by_name.pop(before.name, None)
        if after is not None:
            self._by_name[after.name] = after
        self._settle()

    def selecting(self, pod: Pod) -> tuple[int, ...]:
        """The numbers of the policies that select a pod and say something, in their order (CNP-020)."""
        known = self._known.setdefault(pod.namespace, {})
        found = known.get(pod.labels)
        if found is None:
            namespace, labels = self._spaces.known(pod.namespace), dict(pod.labels)
            of_namespace = None if namespace is None else dict(namespace.labels)
            found = known[pod.labels] = tuple(
                number
                for number, policy in enumerate(self.policies)
                if policy.subject is not None
                and says_something(policy)
                and selects(policy.subject, labels, of_namespace)
            )
        return found

    def is_subject(self, pod: Pod) -> bool:
        """Whether any selects a pod, whatever it says, as far as the namespace was given."""
        namespace = self._spaces.given(pod.namespace)
        labels, of_namespace = dict(pod.labels), None if namespace is None else dict(namespace.labels)
        subjects = (policy.subject for policy in self.policies)
        return any(each is not None and selects(each, labels, of_namespace) for each in subjects)

    def rename(self, namespaces: Iterable[str]) -> set[str]:
        """These have other labels: those of which pods may be selected by others now."""
        found = {name for name in namespaces if self._asks_namespaces}
        for name in found:
            self._known.pop(name, None)
        return found

    def against(
        self, index: PodIndex, claims: Holders, nodes: Iterable[Node], closed: frozenset[str]
    ) -> TierPolicies:
        """What resolves them against the pods that there are now; its numbers are those of `selecting`."""
        return TierPolicies(self.policies, index, claims, nodes, closed)

    def _settle(self) -> None:
        self.policies = in_order(self._by_name.values())
        self.warnings = tie_warnings(self.policies)
        self._known: dict[str, dict[Labels, tuple[int, ...]]] = {}
        subjects = (policy.subject for policy in self.policies)
        self._asks_namespaces = any(
            s is not None and s.namespaces is not None and s.namespaces.requirements for s in subjects
        )
