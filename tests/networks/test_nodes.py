"""Networks over two nodes, as Flannel and Weave Net connect them: who is who on the other side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from policyd.lab.probes import Probe, probe_all
from tests.agent.agents import run, write
from tests.cni.bed import PORT, needs_plugins
from tests.networks.beside import answered, settled
from tests.networks.nodes import OUTSIDE, Node, Nodes, flannel, weave
from tests.support.waiting import until

pytestmark = [pytest.mark.kernel, needs_plugins]

#: What a policy opens by TCP alone, by the number of families; and what a lost SYN takes.
TCP_ONLY, CLOSED, OPEN = [True, False], [False, False], [True, True]
SECONDS = 2.5
#: Who may speak to whom: `other` to `friend` only.
ONLY_FRIENDS = f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: out, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: other}}}}
  policyTypes: [Egress]
  egress: [{{to: [{{podSelector: {{matchLabels: {{app: friend}}}}}}], ports: [{{port: {PORT}}}]}}]
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


class Pods:
    """On the first node `web`, `friend` and `other`; on the second a friend and somebody else."""

    def __init__(self, nodes: Nodes) -> None:
        one, two = nodes.one, nodes.two
        self.web, self.friend, self.other = map(one.run_pod, ("web", "friend", "other"))
        self.far_friend, self.far = two.run_pod("far-friend", "friend"), two.run_pod("far")


def settled_both(nodes: Nodes) -> None:
    for node in nodes.both:
        settled(node)


def test_pods_of_two_nodes_on_flannel_are_judged_by_who_they_are(stack: ExitStack, tmp_path: Path) -> None:
    """On one node and over two, from the nodes and from outside, and to them; in both families."""
    nodes = flannel(stack, tmp_path)
    pods = Pods(nodes)
    web = pods.web.addresses
    for address in ("192.0.2.1", "2001:db8::1"):
        nodes.one.servers.listen(nodes.one.node, "tcp", address, PORT)
    for address in OUTSIDE:
        nodes.one.servers.listen(nodes.outside, "tcp", address, PORT)
    everybody = [pod.namespace for pod in (pods.friend, pods.other, pods.far_friend, pods.far)]
    everybody += [nodes.one.node, nodes.two.node, nodes.outside]
    for place in everybody:  # nobody judges yet
        assert answered(place, web, SECONDS) == OPEN * 2, place
    with nodes.agents():
        settled_both(nodes)
        assert [answered(place, web, SECONDS) for place in everybody] == [
            *[TCP_ONLY * 2, CLOSED * 2] * 2,
            OPEN * 2,  # the kubelet's node
            *[CLOSED * 2] * 2,
        ]
        write(nodes.one.manifests, "out.yaml", ONLY_FRIENDS)
        until(lambda: answered(pods.other.namespace, pods.far_friend.addresses, SECONDS) == TCP_ONLY * 2)
        assert answered(pods.other.namespace, pods.friend.addresses, SECONDS) == TCP_ONLY * 2
        assert answered(pods.other.namespace, pods.far.addresses) == CLOSED * 2
        assert reached(pods.other.namespace, OUTSIDE) == [False, False]
        assert reached(pods.other.namespace, ("192.0.2.1", "2001:db8::1")) == [False, False]
        assert reached(pods.web.namespace, OUTSIDE) == [True, True]
        assert reached(pods.web.namespace, ("192.0.2.1", "2001:db8::1")) == [True, True]
        assert answered(nodes.outside, pods.far.addresses, SECONDS) == OPEN * 2
        assert network_of(nodes.one) == "Flannel, VXLAN"


def network_of(node: Node) -> str:
    """Which network doctor says the node has."""
    examined = run(node.node, "doctor", "--run-dir", str(node.run_dir)).stdout
    [line] = [line for line in examined.splitlines() if line.split()[1:2] == ["network"]]
    return line[len("ok      network      ") :].partition(" (")[0]


def reached(place: Namespace, addresses: tuple[str, ...]) -> list[bool]:
    outcomes = probe_all([Probe(place, address, "tcp", PORT) for address in addresses], SECONDS)
    return [outcome.result == "answered" for outcome in outcomes]


def test_pods_of_two_nodes_on_one_link_are_judged_by_who_they_are(stack: ExitStack, tmp_path: Path) -> None:
    """As with Weave Net: what comes from the other node is bridged, and is no unknown pod of this one."""
    nodes = weave(stack, tmp_path)
    pods = Pods(nodes)
    unknown = nodes.one.sandbox("unknown")
    web, far = pods.web.addresses, pods.far.addresses
    nodes.one.start(unknown).result()
    everybody = [pod.namespace for pod in (pods.friend, pods.other, pods.far_friend, pods.far)]
    everybody += [nodes.one.node, nodes.two.node, unknown.namespace]
    for place in everybody:  # nobody judges yet
        assert answered(place, web, SECONDS) == OPEN, place
    with nodes.agents():
        settled_both(nodes)
        assert [answered(place, web, SECONDS) for place in everybody] == [
            *[TCP_ONLY, CLOSED] * 2,
            OPEN,  # the kubelet's node
            *[CLOSED] * 2,
        ]
        assert answered(pods.other.namespace, far, SECONDS) == OPEN
        assert answered(pods.far.namespace, pods.other.addresses, SECONDS) == OPEN
        assert answered(unknown.namespace, pods.other.addresses) == CLOSED
        assert answered(unknown.namespace, far) == CLOSED
        write(nodes.one.manifests, "out.yaml", ONLY_FRIENDS)
        until(lambda: answered(pods.other.namespace, far, SECONDS) == CLOSED)
        assert answered(pods.other.namespace, pods.far_friend.addresses, SECONDS) == TCP_ONLY
        assert network_of(nodes.one) == "Weave Net"
