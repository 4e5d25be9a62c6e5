"""The networks of docs/networks.md: how each is known on a node, and what is to be set for it. Pure.

The page is tested against this table, so that `policyd doctor` prints its row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from policyd.node.facts import BRIDGE4, Facts
from policyd.node.placement import place


@dataclass(frozen=True, slots=True)
class Network:
    """A row: its cells as the page has them, and what is a sign of it.

    `links` are names or patterns of a node's links, `kinds` kinds of them, `plugins` what the runtime calls.
    """

    name: str
    placement: str
    pod_interfaces: str = ""
    in_network: str = ""
    on_node: str = ""
    links: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def to_set(self) -> str:
        """What there is to set, in one sentence."""
        cells = (
            ("pod_interfaces", self.pod_interfaces),
            ("in the network", self.in_network),
            ("on the node", self.on_node),
        )
        said = (f"{what}: {cell}" for what, cell in cells if cell)
        return "; ".join((f"placement: {self.placement}", *said))


ROUTED = Network("ptp, kindnet", "link", "veth*", "nothing", "forwarding", plugins=("ptp",))
HIDDEN = Network("a bridge without br_netfilter", "bridge: auto", "cni0")
ISTIO = Network(
    "Istio, sidecars",
    "as below it",
    in_network="istio-cni and not istio-init; policies need egress to istiod, 15012",
    plugins=("istio-cni",),
)
AMBIENT = Network(
    "Istio, ambient",
    "as below it; with istio_ambient: translate in the pods",
    in_network="strict: policies must allow TCP 15008, which stands for all ports",
    plugins=("istio-cni",),
)
#: Those of which one is a node's, the surest signs first: eBPF takes packets before anything else does.
NETWORKS = (
    Network(
        "Cilium",
        "beside: auto",
        "lxc*",
        "cni.exclusive=false for policyd-cni",
        links=("cilium_host",),
        plugins=("cilium-cni",),
    ),
    Network("Calico, eBPF", "beside: auto", "cali*", links=("bpfin.cali",)),
    Network(
        "Flannel, VXLAN",
        "bridge",
        "cni0",
        "nothing; leave netpol.enabled false",
        "br_netfilter, bridge-nf-call-iptables and -ip6tables 1",
        links=("flannel.*", "flannel-v6.*"),
        plugins=("flannel",),
    ),
    Network(
        "Calico, iptables or nftables",
        "link",
        "cali*",
        "nothing; flow table offload off, as by default",
        links=("cali*",),
        plugins=("calico",),
    ),
    Network(
        "Weave Net",
        "bridge",
        "none",
        "EXPECT_NPC=0, no weave-npc",
        "br_netfilter and the sysctls, which Weave then does not load",
        links=("weave",),
        plugins=("weave-net",),
    ),
    Network(
        "Amazon VPC CNI",
        "link",
        "eni*",
        "its own policy agent off",
        links=("eni*",),
        plugins=("aws-cni",),
    ),
    Network("Azure CNI, transparent", "link", "azv*", links=("azv*",), plugins=("azure-vnet",)),
    Network("GKE without Dataplane V2", "link", "gke*, veth*", links=("gke*",)),
    Network("macvlan", "beside: auto", plugins=("macvlan",)),
    Network("ipvlan, netkit", "beside: auto", kinds=("netkit",), plugins=("ipvlan",)),
    HIDDEN,
    ROUTED,
)


def networks_of(facts: Facts, plugins: Collection[str]) -> tuple[Network, ...]:
    """The network of a node and what is on top of it; none where no row of the page is about it.

    `plugins`: those that the runtime calls for a pod, in their order.
    """
    own = next(_candidates(facts, plugins), None)
    on_top = tuple(mesh for mesh in (ISTIO, AMBIENT) if set(mesh.plugins) & set(plugins))
    return (*(() if own is None else (own,)), *on_top)


def _candidates(facts: Facts, plugins: Collection[str]) -> Iterator[Network]:
    for network in NETWORKS:
        if _has_links(facts, network):
            yield network
    for network in NETWORKS:
        if set(network.plugins) & set(plugins):
            yield network
    kinds = {found.kind for found in place(facts.links, facts.ways).values()}
    on_bridges = "bridge" in kinds or "bridge" in plugins
    if on_bridges and facts.sysctls[BRIDGE4] is None:
        yield HIDDEN
    if kinds == {"link"}:
        yield ROUTED


def _has_links(facts: Facts, network: Network) -> bool:
    return any(
        link.kind in network.kinds or any(fnmatchcase(link.name, name) for name in network.links)
        for link in facts.links
    )
