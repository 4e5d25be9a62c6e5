"""Services where pods are judged inside: what the node rewrites is judged by the node's own table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from policyd.lab.probes import Probe, probe_all
from tests.agent.agents import nft, write
from tests.cni.bed import PORT, Bed, needs_plugins
from tests.networks.beside import Pod, settled
from tests.support.waiting import until

pytestmark = [pytest.mark.kernel, needs_plugins]

NODE, NODE_PORT, SERVICE, SERVICE_PORT = "192.0.2.1", 30080, "10.96.0.1", 80
#: As kube-proxy has it: rewritten before routing, and masqueraded where it was asked for at a node's port.
KUBE_PROXY = """\
table ip kube-proxy {{
	chain services {{
		type nat hook prerouting priority -100;
		ip daddr {node} tcp dport {node_port} meta mark set 0x4000 dnat to {web}:{port}
		ip daddr {service} tcp dport {service_port} dnat to {web}:{port}
	}}
	chain masquerading {{
		type nat hook postrouting priority 100;
		meta mark 0x4000 masquerade
	}}
}}
"""


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    """A node with a link for each pod."""
    with ExitStack() as stack:
        made = Bed(stack, tmp_path, "ptp")
        made.node.ip(["link add up0 type bridge", "link set up0 up", f"addr add {NODE}/24 dev up0"])
        yield made


def serve(bed: Bed, web: Pod) -> None:
    """Be kube-proxy, for a Service with this one pod behind it."""
    text = KUBE_PROXY.format(
        node=NODE,
        node_port=NODE_PORT,
        service=SERVICE,
        service_port=SERVICE_PORT,
        web=web.addresses[0],
        port=PORT,
    )
    rules = bed.directory / "kube-proxy.nft"
    rules.write_text(text)
    nft(bed.node, "-f", str(rules))


def reaches(pod: Pod, address: str, port: int) -> bool:
    [outcome] = probe_all([Probe(pod.namespace, address, "tcp", port)], seconds=0.9)
    return outcome.result == "answered"


def test_a_nodes_port_is_no_way_around_policies(bed: Bed) -> None:
    """In the pod it comes with the node's address, as a probe does: only the node knows who asked."""
    web, friend, other = (Pod(bed, name).start() for name in ("web", "friend", "other"))
    serve(bed, web)
    flags = "--placement", "pod", "--cni-cache", str(bed.runtime.results)
    with bed.agent(*flags):
        settled(bed)
        assert reaches(friend, NODE, NODE_PORT)
        assert not reaches(other, NODE, NODE_PORT)
    nft(bed.node, "delete", "table", "inet", "policyd")  # what is inside alone does not hold
    assert reaches(other, NODE, NODE_PORT)


def test_a_service_that_the_node_rewrites_is_judged_by_where_it_goes(bed: Bed) -> None:
    """A pod isolated for egress reaches it where its policies allow the pod behind it, and only there."""
    web, other = (Pod(bed, name).start() for name in ("web", "other"))
    bed.manifests.joinpath("world.yaml").unlink()
    write(bed.manifests, "space.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
    serve(bed, web)

    def allow(app: str) -> None:
        write(
            bed.manifests,
            "policy.yaml",
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: out, namespace: shop}\n"
            "spec: {podSelector: {matchLabels: {app: other}}, policyTypes: [Egress], "
            f"egress: [{{to: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}]}}]}}\n",
        )

    allow("web")
    flags = "--placement", "pod", "--cni-cache", str(bed.runtime.results)
    with bed.agent(*flags):
        settled(bed)
        assert reaches(other, web.addresses[0], PORT)
        assert not reaches(other, SERVICE, SERVICE_PORT)  # one like any other address, unless it is named
    with bed.agent(*flags, "--service-ranges", "10.96.0.0/12"):
        settled(bed)
        until(lambda: reaches(other, SERVICE, SERVICE_PORT))
        allow("nobody")
        until(lambda: not reaches(other, web.addresses[0], PORT))
        assert not reaches(other, SERVICE, SERVICE_PORT)
