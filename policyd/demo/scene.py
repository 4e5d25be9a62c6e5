"""What the demonstration shows: who asks whom, which manifests say who may, and what they mean.

The expectations are written by hand, from the manifests; nothing of policyd computes them. Must not do more
than read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from policyd.cluster.state import ClusterState
from policyd.errors import BadInput
from policyd.kube.cidr import print_ips
from policyd.kube.objects import Node, Pod
from policyd.lab.servers import Transport
from policyd.manifests.load import load_manifest

FAMILIES = (4, 6)
HERE = Path(__file__).parent
MANIFESTS = HERE / "shop"
#: The file that is saved over its namesake while the agent runs.
EDIT = HERE / "edit" / "api.yaml"
CLUSTER = "cluster.yaml"

#: For each pair, the families over which a connection is answered; pairs that are not tried are missing.
Reach: TypeAlias = Mapping[tuple[str, str], frozenset[int]]

WORDS = {"-": frozenset[int](), "v4": frozenset({4}), "v6": frozenset({6}), "yes": frozenset(FAMILIES)}

EXPECTED = """
                web:8080  api:9000  api:9100  db:5432  db:7946/udp  dns:53/udp
shop/web           .        yes        -         -          -          yes
shop/api          yes        .         .        yes        yes         yes
shop/db            -         -         -         .          .           -
ops/prometheus    yes        -        yes        -          -          yes
guest/shell       yes        -         -         -          -          yes
demo-node         yes       yes       yes       yes        yes         yes
198.51.100.7      v4         -         -         -          -           .
203.0.113.7        -         -         -         -          -           .
"""

EXPECTED_AFTER_THE_EDIT = """
                web:8080  api:9000  api:9100  db:5432  db:7946/udp  dns:53/udp
shop/web           .        yes        -         -          -          yes
shop/api          yes        .         .        yes        yes         yes
shop/db            -         -         -         .          .           -
ops/prometheus    yes        -         -         -          -          yes
guest/shell       yes       yes        -         -          -          yes
demo-node         yes       yes       yes       yes        yes         yes
198.51.100.7      v4         -         -         -          -           .
203.0.113.7        -         -         -         -          -           .
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A pod, a node or somebody outside, with an address of each family."""

    name: str
    v4: str
    v6: str

    def address(self, family: int) -> str:
        """The address of a family."""
        return self.v4 if family == 4 else self.v6


@dataclass(frozen=True, slots=True)
class Target:
    """A port that a host serves; `name` is what the tables call the host."""

    name: str
    host: Host
    transport: Transport
    port: int

    @property
    def label(self) -> str:
        """The head of its column, as in `db:7946/udp`."""
        return f"{self.name}:{self.port}" + ("/udp" if self.transport == "udp" else "")


#: Two customers of the shop; one is in the range that web.yaml excepts.
CUSTOMERS = (
    Host("198.51.100.7", "198.51.100.7", "2001:db8:51::7"),
    Host("203.0.113.7", "203.0.113.7", "2001:db8:113::7"),
)
DNS = Target("dns", Host("dns", "198.51.100.53", "2001:db8:51::53"), "udp", 53)


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is there, what each port is, and what the manifests mean before and after the edit."""

    manifests: Path
    edit: Path
    node: Host
    pods: tuple[Host, ...]
    targets: tuple[Target, ...]
    expected: Reach
    expected_after: Reach

    @property
    def sources(self) -> tuple[Host, ...]:
        """Everybody who opens connections, in the order of the rows."""
        return (*self.pods, self.node, *CUSTOMERS)


def read_scene(manifests: Path = MANIFESTS, edit: Path = EDIT) -> Scene:
    """The scene whose node and pods the manifests' `cluster.yaml` describes. Raises BadInput."""
    path = manifests / CLUSTER
    objects, diagnostics = load_manifest(path.read_bytes(), str(path))
    if diagnostics:
        raise BadInput(diagnostics)
    state = ClusterState.of(objects)
    [node] = state.nodes.values()
    pods = [(pod, _host(pod)) for pod in state.pods.values()]
    targets = [
        Target(pod.name, host, "udp" if port.protocol == "UDP" else "tcp", port.number)
        for pod, host in pods
        for port in pod.ports
    ]
    return Scene(
        manifests,
        edit,
        _host(node),
        tuple(host for _, host in pods),
        (*targets, DNS),
        read_table(EXPECTED),
        read_table(EXPECTED_AFTER_THE_EDIT),
    )


def read_table(text: str) -> Reach:
    """Read an expectation: a line of targets, then one for each source; `.` is a pair that is not tried."""
    head, *lines = text.strip().splitlines()
    reach = {}
    for line in lines:
        source, *words = line.split()
        for target, word in zip(head.split(), words, strict=True):
            if word != ".":
                reach[source, target] = WORDS[word]
    return reach


def shortly(manifest: Path) -> str:
    """What a manifest says, in the comment that it begins with."""
    return manifest.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def policy_files(manifests: Path) -> tuple[Path, ...]:
    """The manifests of policies, the widest first, which is how one would read them."""
    found = [path for path in manifests.glob("*.yaml") if path.name != CLUSTER]
    return tuple(sorted(found, key=lambda path: (path.stem != "default-deny", path.stem)))


def _host(item: Pod | Node) -> Host:
    addresses = print_ips(item.v4, item.v6) if isinstance(item, Pod) else item.addresses
    by_family = {ip_address(address).version: address for address in addresses}
    name = f"{item.namespace}/{item.name}" if isinstance(item, Pod) else item.name
    return Host(name, by_family[4], by_family[6])
