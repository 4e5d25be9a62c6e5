"""Clusters: a few nodes, namespaces and pods, with everything that makes an address hard to own.

The vocabulary is small on purpose: selectors hit, names are shared, addresses are neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle import Manifest
from tests.strategies.chooser import Chooser, put, some

NAMESPACES = ("a", "b", "c")
LABELS = {"app": ("web", "db", ""), "tier": ("front", "back")}
NAMESPACE_LABELS = {"team": ("blue", "green", ""), "env": ("prod",)}
PORTS = (  # name, protocol, number: one name on several protocols and numbers, one number under two names
    ("http", "TCP", 80),
    ("http", "TCP", 8080),
    ("http", "UDP", 80),
    ("dns", "UDP", 53),
    ("dns-tcp", "TCP", 53),
    ("metrics", "TCP", 9090),
    ("diameter", "SCTP", 3868),
)
IMPOSSIBLE = {
    4: ("127.0.0.1", "0.0.0.0", "169.254.0.1", "224.0.0.251", "255.255.255.255"),
    6: ("::1", "::", "fe80::1", "ff02::1"),
}
STATES = (
    *["running"] * 12, "pending", "pending-without-address", "succeeded", "failed", "deleting", "deleting",
    "host-network", "host-network",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """What a generated world may hold.

    A kernel cannot build conflicts: two pods with one address, and addresses that no pod can have.
    """

    pods: int = 10
    least_pods: int = 2
    open_rules: bool = True  # without, every rule names peers, most of them by labels
    policies: int = 6
    least_policies: int = 1
    conflicts: bool = True
    legacy_text: bool = False  # CIDR spellings that only servers without StrictIPCIDRValidation store
    tiers: int = 0  # ClusterNetworkPolicies at most
    strange_tiers: bool = False  # and in them what is not understood, as a server may hold it


def cluster(chooser: Chooser, shape: Shape) -> list[Manifest]:
    nodes = [
        _node(chooser, number, labelled=shape.tiers > 0) for number in range(1, chooser.number(2, 3) + 1)
    ]
    namespaces = NAMESPACES[: chooser.number(1, 3)]
    objects = [*nodes, *(_namespace(chooser, name) for name in namespaces if not chooser.chance(10))]
    pods: list[Manifest] = []
    for number in range(chooser.number(shape.least_pods, shape.pods)):
        pods.append(another_pod(chooser, number, namespaces, nodes))
        if shape.conflicts and number and chooser.chance(25):
            _take_addresses(chooser, pods[number], chooser.one_of(pods[:number]))
        if shape.conflicts and chooser.chance(5):
            _claim_impossible(chooser, pods[number], nodes)
    return [*objects, *pods]


def labels(chooser: Chooser, vocabulary: dict[str, tuple[str, ...]]) -> Manifest:
    return {key: chooser.one_of(values) for key, values in vocabulary.items() if not chooser.chance(40)}


def _node(chooser: Chooser, number: int, *, labelled: bool) -> Manifest:
    addresses = [
        {"type": "Hostname", "address": f"n{number}"},
        {"type": "InternalIP", "address": f"192.0.2.{number}"},
        {"type": "InternalIP", "address": f"2001:db8:1::{number}"},
    ]
    if chooser.chance(15):
        addresses.append({"type": "ExternalIP", "address": f"198.51.100.{number}"})
    metadata: Manifest = {"name": f"n{number}"}
    if labelled and chooser.chance(60):
        metadata["labels"] = {"zone": chooser.one_of(("east", "west"))}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"addresses": addresses}}


def _namespace(chooser: Chooser, name: str) -> Manifest:
    given = labels(chooser, NAMESPACE_LABELS)
    if chooser.chance(50):
        given["kubernetes.io/metadata.name"] = name  # the server adds it, a file may lack it
    metadata: Manifest = {"name": name}
    put(metadata, "labels", chooser, given)
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def another_pod(
    chooser: Chooser, number: int, namespaces: tuple[str, ...], nodes: list[Manifest]
) -> Manifest:
    """Make a pod on one of the nodes; with `number` alone it has addresses of its own."""
    node = chooser.one_of(nodes)
    state = chooser.one_of(STATES)
    created = f"2026-01-{1 + number % 28:02}T00:00:00Z"
    metadata: Manifest = {
        "namespace": chooser.one_of(namespaces),
        "name": f"p{number}",
        "uid": f"uid-{chooser.number(0, 9)}-{number}",
        "creationTimestamp": created,
    }
    put(metadata, "labels", chooser, labels(chooser, LABELS))
    if state == "deleting":
        metadata["deletionTimestamp"] = "2026-03-01T00:00:00Z"
    spec: Manifest = {"nodeName": node["metadata"]["name"], "containers": _containers(chooser)}
    if chooser.chance(25):
        spec["initContainers"] = _init_containers(chooser)
    if state == "host-network":
        spec["hostNetwork"] = True
        held = [entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"]
    else:
        node_number = nodes.index(node) + 1
        third, fourth = node_number + 4 * (number // 200), 10 + number % 200
        held = [f"10.244.{third}.{fourth}", f"fd00:10:244:{node_number}::{10 + number:x}"]
        held = chooser.one_of((held, held, held, held[:1], held[1:]))
    status: Manifest = {"phase": _phase(state)}
    if not chooser.chance(15):
        status["startTime"] = f"2026-02-0{chooser.number(1, 3)}T00:00:00Z"
    _put_addresses(chooser, status, [] if state == "pending-without-address" else held)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def _phase(state: str) -> str:
    match state:
        case "succeeded" | "failed":
            return state.capitalize()
        case "pending" | "pending-without-address":
            return "Pending"
        case _:
            return "Running"


def _put_addresses(chooser: Chooser, status: Manifest, held: list[str]) -> None:
    if held:
        status["podIP"] = held[0]
    if len(held) != 1 or not chooser.chance(20):  # podIP alone is how old servers say it (NP-106)
        put(status, "podIPs", chooser, [{"ip": address} for address in held])


def _take_addresses(chooser: Chooser, pod: Manifest, other: Manifest) -> None:
    """Let two pods claim one address, or one in each family (NP-166); chains of them make three and more."""
    theirs = [entry["ip"] for entry in other["status"].get("podIPs") or []]
    if theirs and not other["spec"].get("hostNetwork") and not pod["spec"].get("hostNetwork"):
        taken = chooser.one_of((theirs, theirs[:1], theirs[-1:]))
        _replace_addresses(pod, taken, keeping=chooser.chance(50))


def _claim_impossible(chooser: Chooser, pod: Manifest, nodes: list[Manifest]) -> None:
    """Let a pod claim an address that no pod can have, in one family or in both (NP-167)."""
    if pod["spec"].get("hostNetwork"):
        return
    of_nodes = [entry["address"] for node in nodes for entry in node["status"]["addresses"]]
    held = [text for text in of_nodes if not text.startswith("n")]
    v4 = chooser.one_of((*IMPOSSIBLE[4], *(text for text in held if ":" not in text)))
    v6 = chooser.one_of((*IMPOSSIBLE[6], *(text for text in held if ":" in text)))
    _replace_addresses(pod, chooser.one_of(([v4, v6], [v4], [v6])), keeping=chooser.chance(50))


def _replace_addresses(pod: Manifest, taken: list[str], *, keeping: bool) -> None:
    """Give a pod other addresses; of a family that they lack it may keep its own."""
    own = [entry["ip"] for entry in pod["status"].get("podIPs") or []] if keeping else []
    families = {":" in text for text in taken}
    taken = [*taken, *(text for text in own if (":" in text) not in families)]
    taken = sorted(taken, key=lambda text: ":" in text)
    pod["status"] |= {"podIP": taken[0], "podIPs": [{"ip": text} for text in taken]}


def _containers(chooser: Chooser) -> list[Manifest]:
    return [_container(chooser, f"c{number}") for number in range(chooser.number(1, 2))]


def _init_containers(chooser: Chooser) -> list[Manifest]:
    """Add a native sidecar, whose ports count, and plain init containers, whose ports do not (NP-062)."""
    return [
        {**_container(chooser, "sidecar"), "restartPolicy": "Always"},
        _container(chooser, "init"),
        {**_container(chooser, "again"), "restartPolicy": chooser.one_of(("Never", "OnFailure"))},
    ]


def _container(chooser: Chooser, name: str) -> Manifest:
    ports: dict[str, Manifest] = {}
    for port_name, protocol, number in some(chooser, PORTS, 0, 3):
        entry: Manifest = {"name": port_name, "containerPort": number}
        if protocol != "TCP" or chooser.chance(50):
            entry["protocol"] = protocol
        ports.setdefault(port_name, entry)  # one container never has a name twice
    container: Manifest = {"name": name, "image": "i"}
    put(container, "ports", chooser, list(ports.values()))
    return container
