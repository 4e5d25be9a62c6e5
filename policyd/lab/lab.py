"""A lab: nodes with pods, the outside behind them, all in network namespaces of this process.

Packets between nodes cross both, as in a cluster. Closing the lab removes all of it; so does the end of the
process, however it comes. Must not change anything but what it made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import ip_address
from types import MappingProxyType, TracebackType
from typing import Self

from policyd.lab import wiring
from policyd.lab.namespace import Namespace
from policyd.lab.plan import Bridged, NodePlan, PodPlan, check_plans
from policyd.lab.servers import Servers

#: Addresses for documentation, one of each family.
SPEAKER = ("203.0.113.7", "2001:db8::7")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that is there: where it runs, its interface in its node's namespace, and its own namespace."""

    plan: PodPlan
    node: str
    device: str
    namespace: Namespace


class Lab:
    """A small cluster's network. Use it as a context manager.

    `outside` is the namespace of everybody else: every address that no node and no pod has is local there.
    """

    def __init__(self, nodes: Iterable[NodePlan], speaker: Sequence[str] = SPEAKER) -> None:
        """Build all of it, or nothing; `speaker` are the addresses that the outside speaks with."""
        plans = tuple(nodes)
        check_plans(plans, tuple(speaker))
        self._plans = {plan.name: plan for plan in plans}
        self._speaker = tuple(speaker)
        self._nodes: dict[str, Namespace] = {}
        self._pods: dict[str, Pod] = {}
        self._homes: dict[str, Namespace] = {}
        self._ports = 0
        self._stack = ExitStack()
        try:
            self.outside = self._namespace("outside")
            self.outside.set_sysctls({**wiring.FORWARDING, **wiring.OUTSIDE})
            self.outside.ip(wiring.outside_lines(4, self._speaker))
            self.outside.ip(wiring.outside_lines(6, self._speaker), "-6")
            for plan in self._plans.values():
                self._build_node(plan)
                self._build_pods(plan, plan.pods)
            # Last, so that servers are the first to be closed.
            self.servers = self._stack.enter_context(Servers())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the servers and let go of every namespace. Idempotent."""
        self._stack.close()

    @property
    def nodes(self) -> Mapping[str, Namespace]:
        """The nodes' namespaces by name."""
        return MappingProxyType(self._nodes)

    @property
    def pods(self) -> Mapping[str, Pod]:
        """The pods by `namespace/name`."""
        return MappingProxyType(self._pods)

    def home(self, address: str) -> Namespace:
        """The namespace of what holds an address: a pod, a node, or else the outside."""
        return self._homes.get(str(ip_address(address)), self.outside)

    def add_pods(self, node: str, *pods: PodPlan) -> None:
        """Connect more pods to a node. Raises ValueError where a name or an address is taken."""
        plan = self._plans[node]
        self._build_pods(self._grow(replace(plan, pods=(*plan.pods, *pods))), pods)

    def remove_pod(self, name: str) -> None:
        """Disconnect a pod and let go of its namespace; its servers end with the lab."""
        pod = self._pods.pop(name)
        plan = self._plans[pod.node]
        self._plans[pod.node] = plan = replace(plan, pods=tuple(p for p in plan.pods if p.name != name))
        for address in pod.plan.addresses:
            del self._homes[str(ip_address(address))]
        self._lead_pods("del", plan, (pod.plan,))
        self._nodes[pod.node].ip(wiring.unplug_lines(plan.wiring, pod.plan, pod.device))
        self._meet_siblings("del", plan, (pod.plan,))
        pod.namespace.close()

    def add_address(self, node: str, address: str) -> None:
        """Give a node one more address. Raises ValueError where it is taken."""
        plan = self._plans[node]
        self._grow(replace(plan, addresses=(*plan.addresses, address)))
        self._nodes[node].ip([wiring.address_line("add", address)])
        self.outside.ip([wiring.cluster_route("add", address, self._uplink(plan), self._speaker)])
        self._homes[str(ip_address(address))] = self._nodes[node]

    def remove_address(self, node: str, address: str) -> None:
        """Take from a node an address that `add_address` gave it."""
        plan = self._plans[node]
        self._plans[node] = replace(plan, addresses=tuple(a for a in plan.addresses if a != address))
        self._nodes[node].ip([wiring.address_line("del", address)])
        self.outside.ip([wiring.cluster_route("del", address, self._uplink(plan), self._speaker)])
        del self._homes[str(ip_address(address))]

    def _grow(self, plan: NodePlan) -> NodePlan:
        """Take a plan in the place of the one of that node, if it can be built."""
        plans = self._plans | {plan.name: plan}
        check_plans(tuple(plans.values()), self._speaker)
        self._plans = plans
        return plan

    def _namespace(self, label: str) -> Namespace:
        namespace = Namespace(label)
        self._stack.callback(namespace.close)
        namespace.set_sysctls(wiring.EVERYWHERE)
        return namespace

    def _uplink(self, plan: NodePlan) -> str:
        """The outside's interface towards a node."""
        return f"node{list(self._plans).index(plan.name) + 1}"

    def _build_node(self, plan: NodePlan) -> None:
        node = self._namespace(plan.name)
        node.set_sysctls(wiring.FORWARDING)
        self.outside.ip(wiring.uplink_lines(plan, self._uplink(plan), node.path, self._speaker))
        node.ip(wiring.node_lines(plan))
        if isinstance(plan.wiring, Bridged):
            node.set_sysctls(wiring.BRIDGED)
        self._nodes[plan.name] = node
        self._homes |= {str(ip_address(address)): node for address in plan.addresses}

    def _build_pods(self, plan: NodePlan, pods: tuple[PodPlan, ...]) -> None:
        """Connect pods; `plan` already counts them."""
        ports: list[str] = []
        for pod in pods:
            self._ports += 1
            device = wiring.device_name(plan.wiring, self._ports)
            namespace = self._namespace(pod.name)
            self._pods[pod.name] = Pod(pod, plan.name, device, namespace)
            self._homes |= {str(ip_address(address)): namespace for address in pod.addresses}
            ports += wiring.port_lines(plan, pod, device, namespace.path)
        self._nodes[plan.name].ip(ports)
        for pod in pods:
            siblings = [other for other in plan.pods if other.name != pod.name]
            self._pods[pod.name].namespace.ip(wiring.pod_lines(pod, plan.wiring, siblings))
        self._meet_siblings("add", plan, pods)
        self._lead_pods("add", plan, pods)

    def _lead_pods(self, change: str, plan: NodePlan, pods: tuple[PodPlan, ...]) -> None:
        uplink = self._uplink(plan)
        lines = (wiring.pod_uplink_lines(change, pod, uplink, self._speaker) for pod in pods)
        self.outside.ip([line for part in lines for line in part])

    def _meet_siblings(self, change: str, plan: NodePlan, pods: tuple[PodPlan, ...]) -> None:
        """Let a bridge's other pods know that these came or went."""
        if isinstance(plan.wiring, Bridged):
            names = {pod.name for pod in pods}
            for other in plan.pods:
                if other.name not in names:
                    self._pods[other.name].namespace.ip(wiring.neighbour_lines(change, other, pods))
