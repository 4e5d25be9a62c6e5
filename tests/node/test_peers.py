"""The other ends of veths, asked of the real kernel."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from policyd.cluster.attachments import UNKNOWN
from policyd.lab.lab import Lab
from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed, Wiring
from policyd.netlink import peers as peers_room
from policyd.netlink.links import read_links, read_ways
from policyd.netlink.messages import ask
from policyd.netlink.peers import read_peers
from policyd.node.attach import LocalPod, Network, attach

pytestmark = pytest.mark.kernel

PODS = (PodPlan("shop/a", ("10.0.0.1", "fd00::1")), PodPlan("shop/b", ("10.0.0.2", "fd00::2")))


@pytest.mark.parametrize("wiring", [Routed(), Bridged(("10.0.0.254", "fd00::fe"))], ids=["routed", "bridged"])
def test_every_pod_of_the_lab_is_found_behind_its_interface(wiring: Wiring) -> None:
    with Lab([NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), PODS, wiring)]) as lab:
        pods = [LocalPod(p.name, frozenset(number(a) for a in p.addresses)) for p in PODS]
        with lab.nodes["n1"].entered():
            links = read_links()
            ways = read_ways(address for p in PODS for address in p.addresses)
            peers = read_peers(links)
        macs = {key: int.from_bytes(bytes.fromhex(mac_of(lab, key).replace(":", ""))) for key in lab.pods}
        devices = {key: pod.device for key, pod in lab.pods.items()}
    for network in (
        Network(links, {number(a): way for a, way in ways.items()}, peers),
        Network(links, {}, peers),
    ):
        found = attach(pods, network, UNKNOWN)
        assert {key: a.interface for key, a in found.pods.items()} == devices
        assert {key: a.mac for key, a in found.pods.items()} == macs
        assert {a.bridge for a in found.pods.values()} == ({"cni0"} if isinstance(wiring, Bridged) else {""})


ODD_ANSWERS: dict[str, list[bytes]] = {"none": [], "two": [bytes(16), bytes(16)], "too short": [b"x"]}


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_an_odd_answer_costs_only_the_pod_that_it_is_about(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As no kernel gives one, the first answer is put in the place of the kernel's."""
    first = [ODD_ANSWERS[odd]]

    def answer(opened: socket.socket, question: bytes) -> Iterable[bytes]:
        return first.pop() if first else ask(opened, question)

    with Lab([NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), PODS)]) as lab, lab.nodes["n1"].entered():
        links = read_links()
        every = read_peers(links)
        monkeypatch.setattr(peers_room, "ask", answer)
        found = read_peers(links)
    assert found == dict(list(every.items())[1:])


def number(address: str) -> tuple[int, int]:
    parsed = ip_address(address)
    return parsed.version, int(parsed)


def mac_of(lab: Lab, key: str) -> str:
    shown = lab.pods[key].namespace.run(["ip", "-o", "link", "show", "dev", "eth0"])
    return shown.stdout.split("link/ether ")[1].split()[0]
