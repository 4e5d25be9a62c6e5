"""One manifest for every network: what passes no rule of the node is judged in the pods' own namespaces."""

from __future__ import annotations

import pytest

from policyd.lab.probes import Probe, probe_all
from policyd.lab.servers import Servers, Transport
from tests.cluster.addresses import PODS
from tests.cluster.failures import wait_until
from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.networks import BESIDE, NETWORKS, on
from tests.cluster.policyd.pods import Place, Pod, Pods, network_of, policy

pytestmark = [pytest.mark.cluster, on(*NETWORKS)]

PORT = 8080
TRANSPORTS: tuple[Transport, ...] = ("tcp", "udp")
PLACES = {
    "web": Place("n1", {"pod": "web"}),
    "friend": Place("n1", {"pod": "friend"}),
    "other": Place("n1", {"pod": "other"}),
    "far": Place("n2", {"pod": "far"}),
    "far-friend": Place("n2", {"pod": "friend"}),
}
#: All addresses of a family, and those of pods.
OUTSIDE = (("0.0.0.0/0", PODS.v4), ("::/0", PODS.v6))
#: Who may reach `web` with this policy.
ALLOWED = {"friend": True, "other": False, "far": False, "far-friend": True}


def reached(source: Pod, target: Pod) -> list[bool]:
    """Whether each address answers, by TCP and UDP."""
    probes = [Probe(source.network, a, t, PORT) for a in target.addresses for t in TRANSPORTS]
    return [outcome.result == "answered" for outcome in probe_all(probes, 1.5)]


def test_pods_are_judged_where_their_packets_can_be_seen(
    automatic: Installation, which: str, pods: Pods
) -> None:
    """From the same node and from another one, by TCP and UDP, in both families; and the agents say so."""
    inside, namespace = automatic, pods.namespace("inside")
    found = pods.start(namespace, PLACES)
    web = found["web"]
    count = len(web.addresses) * len(TRANSPORTS)
    with Servers() as servers:
        for address in web.addresses:
            for transport in TRANSPORTS:
                servers.listen(web.network, transport, address, PORT)
        # On ptp the first second of a pod's IPv6 may be silent, also where there is no policyd.
        wait_until(
            lambda: all(all(reached(found[name], web)) for name in ALLOWED),
            "without a policy not all reach all",
            seconds=60,
            check=inside.cluster.check,
        )
        peer = {"podSelector": {"matchLabels": {"pod": "friend"}}}
        subject = {"matchLabels": {"pod": "web"}}
        inside.cluster.apply(policy("web", namespace, podSelector=subject, ingress=[{"from": [peer]}]))
        wait_until(
            lambda: not any(reached(found["other"], web)),
            "what is denied arrives",
            seconds=60,
            check=inside.cluster.check,
        )
        verdicts = {name: reached(found[name], web) for name in ALLOWED}
        assert verdicts == {name: [allowed] * count for name, allowed in ALLOWED.items()}
    wait_until(
        lambda: "policyd_enforcing 1.0" in inside.ask("n1", "/metrics")[1],
        "the agent does not say that it enforces",
        seconds=60,
        check=inside.cluster.check,
    )
    for node in inside.cluster.nodes:
        addresses = inside.state(node)["inside"]["addresses"]
        own = {a for name, place in PLACES.items() if place.node == node for a in found[name].addresses}
        assert (own & set(addresses)) == (own if which in BESIDE else set())
        inside.cluster.node(node).run("nft", "list", "ruleset")  # older than ours, as kube-proxy's may be


@pytest.mark.usefixtures("which")
def test_services_are_judged_by_what_is_behind_them(automatic: Installation, pods: Pods) -> None:
    """Cilium rewrites their addresses behind the pods' namespaces, where no rule sees it, and gives back to a
    pod what it sends to itself with another source.
    """
    inside, namespace = automatic, pods.namespace("served")
    found = pods.start(namespace, PLACES)
    web, other, far = found["web"], found["other"], found["far"]
    services = {name: service(inside, namespace, name) for name in ("web", "far")}
    neither, both = ([said] * len(services["web"]) for said in (False, True))
    with Servers() as servers:
        for pod in (web, far):
            for address in pod.addresses:
                servers.listen(pod.network, "tcp", address, PORT)

        def asks(source: Pod, name: str) -> list[bool]:
            probes = [Probe(source.network, address, "tcp", PORT) for address in services[name]]
            return [outcome.result == "answered" for outcome in probe_all(probes, 1.5)]

        def comes_to(source: Pod, name: str, expected: list[bool]) -> None:
            wait_until(
                lambda: asks(source, name) == expected,
                f"{name}: not {expected}",
                seconds=60,
                check=inside.cluster.check,
            )

        for source, name in ((other, "web"), (other, "far"), (web, "web")):
            comes_to(source, name, both)
        # The blocks hold the Services' addresses, and not those of the pods.
        blocks = [{"ipBlock": {"cidr": cidr, "except": [pods]}} for cidr, pods in OUTSIDE]
        egress = [{"to": [{"podSelector": {"matchLabels": {"pod": "web"}}}]}, {"to": blocks}]
        subject = {"matchLabels": {"pod": "other"}}
        rules = {"podSelector": subject, "policyTypes": ["Egress"], "egress": egress}
        inside.cluster.apply(policy("out", namespace, **rules))
        comes_to(other, "far", neither)
        assert asks(other, "web") == both
        subject = {"matchLabels": {"pod": "web"}}
        inside.cluster.apply(policy("in", namespace, podSelector=subject, policyTypes=["Ingress"]))
        comes_to(other, "web", neither)
        assert asks(web, "web") == both


@pytest.mark.usefixtures("which")
def test_a_nodes_port_is_no_way_around_policies(automatic: Installation, pods: Pods) -> None:
    """From outside of the nodes, by the pod's own node and by another, which rewrites the source as well."""
    cluster, namespace = automatic.cluster, pods.namespace("outside")
    web = pods.start(namespace, {"web": PLACES["web"]})["web"]
    service(automatic, namespace, "web", type="NodePort")
    port = cluster.get("services", "web", namespace=namespace)["spec"]["ports"][0]["nodePort"]
    nodes = [address for node in cluster.nodes.values() for address in (node.addresses.v4, node.addresses.v6)]
    with network_of("outside", cluster.plane.machine) as outside:
        probes = [Probe(outside, address, "tcp", port) for address in nodes]

        def answers(*, expected: bool) -> None:
            wait_until(
                lambda: (
                    [each.result == "answered" for each in probe_all(probes, 1.5)] == [expected] * len(nodes)
                ),
                f"not {expected} everywhere",
                seconds=60,
                check=cluster.check,
            )

        with Servers() as servers:
            for address in web.addresses:
                servers.listen(web.network, "tcp", address, PORT)
            answers(expected=True)
            cluster.apply(policy("web", namespace, policyTypes=["Ingress"]))
            answers(expected=False)
            everybody = [{"ipBlock": {"cidr": cidr}} for cidr, _ in OUTSIDE]
            cluster.apply(policy("all", namespace, ingress=[{"from": everybody}]))
            answers(expected=True)


def service(installation: Installation, namespace: str, name: str, **more: object) -> list[str]:
    """Make a Service with the pod of this label behind it, and give its addresses."""
    ports = [{"port": PORT}]
    spec = {"selector": {"pod": name}, "ports": ports, "ipFamilyPolicy": "PreferDualStack", **more}
    metadata = {"name": name, "namespace": namespace}
    installation.cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    found = installation.cluster.get("services", name, namespace=namespace)
    return [str(address) for address in found["spec"]["clusterIPs"]]
