"""Istio on top of a network: where its proxies stand between applications and the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from policyd.lab.probes import Probe, probe_all
from policyd.netlink.mesh import PROBES
from tests.agent.agents import write
from tests.cni.bed import PORT, Bed, needs_plugins
from tests.cni.crowd import Mailbox
from tests.networks.beside import Pod, answered, asked, bypass, connected, settled, wire
from tests.networks.mesh import probed_from, proxied
from tests.support.waiting import until

pytestmark = [pytest.mark.kernel, needs_plugins]

#: What is open by TCP alone, over both families.
TCP_ONLY = [True, False] * 2
CLOSED = [False] * 4
#: A connection is three by way of two proxies, and a lost SYN comes again after a second.
SECONDS = 2.5


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    """A node with a link for each pod."""
    with ExitStack() as stack:
        yield Bed(stack, tmp_path, "ptp")


def flags(bed: Bed, placement: str) -> tuple[str, ...]:
    return "--placement", placement, "--cni-cache", str(bed.runtime.results)


def send_only_to(bed: Bed, app: str, to: str, port: int = PORT) -> None:
    """Isolate an application for egress, but for one port of another."""
    write(
        bed.manifests,
        f"out-{app}.yaml",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: out-{app}, namespace: shop}}\n"
        f"spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, policyTypes: [Egress], egress: "
        f"[{{to: [{{podSelector: {{matchLabels: {{app: {to}}}}}}}], ports: [{{port: {port}}}]}}]}}\n",
    )


@pytest.mark.parametrize("placement", ["host", "pod"])
def test_sidecars_change_nothing_for_policies(bed: Bed, placement: str) -> None:
    """Ports are the applications' own, both ways; between a proxy and its application nothing is judged."""
    web, friend, other = pods = [Pod(bed, name).start() for name in ("web", "friend", "other")]
    send_only_to(bed, "other", "friend")
    with proxied(pods, "sidecar"):
        assert answered(other.namespace, web.addresses, SECONDS) == [True] * 4  # nobody judges yet
        with bed.agent(*flags(bed, placement)):
            settled(bed)
            assert answered(friend.namespace, web.addresses, SECONDS) == TCP_ONLY
            assert answered(other.namespace, web.addresses, SECONDS) == CLOSED
            assert answered(web.namespace, friend.addresses, SECONDS) == [True] * 4
            assert answered(other.namespace, friend.addresses, SECONDS) == TCP_ONLY
            assert answered(bed.node, web.addresses, SECONDS) == [True] * 4  # as the kubelet probes
            bed.say("friend", app="other")
            until(lambda: answered(friend.namespace, web.addresses, 0.3) == CLOSED)


def test_sidecars_on_a_network_that_the_node_does_not_see(bed: Bed) -> None:
    """The same where eBPF carries packets past the node."""
    web, friend = pods = [Pod(bed, name).start() for name in ("web", "friend")]
    bypass(bed, web, friend)
    with proxied(pods, "sidecar"), bed.agent(*flags(bed, "auto")):
        settled(bed)
        assert answered(friend.namespace, web.addresses, SECONDS) == TCP_ONLY
        bed.say("friend", app="foe")
        until(lambda: answered(friend.namespace, web.addresses, 0.3) == CLOSED)


def test_a_live_connection_through_sidecars_ends_when_it_is_denied(tmp_path: Path) -> None:
    """It is judged by the port that was asked for, not by the proxy's: what is still allowed goes on."""
    with ExitStack() as stack:
        bed = Bed(stack, tmp_path, "macvlan")
        wire(bed)
        web, friend, other = pods = [
            Pod(bed, name, app).start() for name, app in (("web", ""), ("friend", ""), ("other", "friend"))
        ]
        stack.enter_context(proxied(pods, "sidecar"))
        stack.enter_context(bed.agent(*flags(bed, "auto")))
        settled(bed)
        live = [connected(pod, address) for pod in (friend, other) for address in web.addresses]
        assert [asked(end) for end in live] == [True] * 4
        bed.say("other", app="foe")
        until(lambda: [asked(end) for end in live] == [True, True, False, False])
        for end in live:
            end.close()


@pytest.mark.parametrize("placement", ["host", "pod"])
def test_probes_of_ambient_pods_pass_with_the_source_that_istio_gives_them(bed: Bed, placement: str) -> None:
    """They are the kubelet's, as on the node they still have its address; that source is nobody else's."""
    web, other = pods = [Pod(bed, name).start() for name in ("web", "other")]
    probed_from(bed.node)
    source = str(ip_address(*PROBES[4]))
    other.namespace.ip([f"addr add {source}/32 dev lo"])
    with proxied(pods, "ztunnel"), Mailbox(web.namespace) as box, Mailbox(other.namespace, source) as forger:
        forger.send(web.addresses[0])
        until(lambda: box.heard() == {source})  # nobody judges yet
        with bed.agent(*flags(bed, placement)):
            settled(bed)
            assert answered(bed.node, web.addresses, SECONDS) == [True] * 4
            seen = probe_all([Probe(bed.node, address, "tcp", PORT) for address in web.addresses], SECONDS)
            assert [outcome.seen_as for outcome in seen] == [str(ip_address(n)) for [n] in PROBES.values()]
            forger.send(web.addresses[0])
            assert answered(bed.node, web.addresses, SECONDS) == [True] * 4
            assert not box.heard()


def test_a_pod_that_enters_the_mesh_later_is_probed_as_well(bed: Bed) -> None:
    """Its namespace is looked at again: Istio redirects pods that run, too."""
    web, other = pods = [Pod(bed, name).start() for name in ("web", "other")]
    with bed.agent(*flags(bed, "pod")):
        settled(bed)
        assert answered(bed.node, web.addresses, SECONDS) == [True] * 4
        probed_from(bed.node)
        with proxied(pods, "ztunnel"):
            assert any(answered(bed.node, web.addresses, SECONDS) == [True] * 4 for _ in range(20))
            assert answered(other.namespace, web.addresses) == CLOSED


def test_an_ambient_mesh_is_seen_by_its_own_port(bed: Bed) -> None:
    """Policies must let port 15008 in, and then all ports are open; without the mesh, ports are as ever."""
    web, friend = pods = [Pod(bed, name).start() for name in ("web", "friend")]
    plain = Pod(bed, "plain", "friend").start()
    with proxied(pods, "ztunnel"):
        assert answered(friend.namespace, web.addresses, SECONDS) == [True] * 4
        with bed.agent(*flags(bed, "pod")):
            settled(bed)
            assert answered(friend.namespace, web.addresses) == CLOSED
            assert answered(plain.namespace, web.addresses, SECONDS) == TCP_ONLY
            open_to_friends(bed, 15008)
            until(lambda: answered(friend.namespace, web.addresses, SECONDS) == TCP_ONLY)
            assert answered(plain.namespace, web.addresses) == CLOSED


def open_to_friends(bed: Bed, port: int) -> None:
    """Let friends reach this port of `web`, and no other."""
    text = (bed.manifests / "world.yaml").read_text()
    write(bed.manifests, "world.yaml", text.replace(f"{{port: {PORT}}}", f"{{port: {port}}}"))


def test_ports_count_in_an_ambient_mesh_that_is_translated(bed: Bed) -> None:
    """Those that policies name, for both ends, as if there were no mesh; without a mesh likewise."""
    web, friend, other = pods = [Pod(bed, name).start() for name in ("web", "friend", "other")]
    plain = Pod(bed, "plain", "friend").start()
    send_only_to(bed, "other", "friend")
    probed_from(bed.node)
    for pod in (web, friend):
        for address in pod.addresses:
            bed.servers.listen(pod.namespace, "tcp", address, PORT + 1)
    with proxied(pods, "ztunnel"), bed.agent(*flags(bed, "host"), "--istio-ambient", "translate"):
        settled(bed)
        assert answered(friend.namespace, web.addresses, SECONDS) == TCP_ONLY
        assert answered(plain.namespace, web.addresses, SECONDS) == TCP_ONLY
        assert answered(other.namespace, web.addresses) == CLOSED
        assert answered(bed.node, web.addresses, SECONDS) == [True] * 4
        assert answered(web.namespace, other.addresses, SECONDS) == [True] * 4
        assert answered(other.namespace, friend.addresses, SECONDS) == TCP_ONLY
        # Another port of the same pods: ingress of one, egress of the other.
        assert reached(plain, web, PORT + 1) == reached(friend, web, PORT + 1) == [False, False]
        assert reached(other, friend, PORT + 1) == [False, False]
        assert reached(web, friend, PORT + 1) == [True, True]
        live = [connected(friend, address) for address in web.addresses]
        live += [connected(other, address) for address in friend.addresses]
        assert [asked(end) for end in live] == [True] * 4
        open_to_friends(bed, PORT + 1)
        until(lambda: reached(friend, web, PORT + 1) == [True, True])
        until(lambda: [asked(end) for end in live] == [False, False, True, True])
        send_only_to(bed, "other", "friend", PORT + 1)
        until(lambda: reached(other, friend, PORT + 1) == [True, True])
        until(lambda: [asked(end) for end in live] == [False] * 4)
        assert answered(friend.namespace, web.addresses) == CLOSED
        for end in live:
            end.close()


def reached(source: Pod, other: Pod, port: int) -> list[bool]:
    """Whether a port of another pod answers by TCP, in both families."""
    outcomes = probe_all([Probe(source.namespace, a, "tcp", port) for a in other.addresses], SECONDS)
    return [outcome.result == "answered" for outcome in outcomes]


def test_the_meshs_port_is_no_way_out_where_it_is_translated(bed: Bed) -> None:
    """A pod that may reach a port of another may reach 15008 of that one, and of nobody else."""
    web, friend, other = (Pod(bed, name).start() for name in ("web", "friend", "other"))
    send_only_to(bed, "other", "friend")
    for pod in (web, friend):
        for address in pod.addresses:
            bed.servers.listen(pod.namespace, "tcp", address, 15008)
    with bed.agent(*flags(bed, "host"), "--istio-ambient", "translate"):
        settled(bed)
        assert reached(other, friend, 15008) == [True, True]
        assert reached(other, web, 15008) == [False, False]
        assert reached(friend, web, 15008) == [True, True]
