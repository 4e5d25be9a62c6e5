"""A change that denies a live connection stops it, and touches no other (decisions 3)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.agent.connections.revoker import WATCH_SECONDS
from policyd.lab.lab import Lab
from policyd.lab.plan import NodePlan, PodPlan
from tests.agent.agents import running, write
from tests.agent.talk import Echo, Pusher, Talk
from tests.support.waiting import until

pytestmark = pytest.mark.kernel

PODS = {
    "shop/web": ("10.0.0.1", "fd00::1"),
    "shop/cart": ("10.0.0.2", "fd00::2"),
    "shop/till": ("10.0.0.3", "fd00::3"),
}
SERVICE = ("10.96.0.1", "fd00:96::1")
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
NAT = """\
table inet nat {
\tchain services {
\t\ttype nat hook prerouting priority -100;
\t\tip daddr 10.96.0.1 tcp dport 80 dnat ip to 10.0.0.1:8080
\t\tip daddr 10.96.0.1 udp dport 80 dnat ip to 10.0.0.1:8080
\t\tip6 daddr fd00:96::1 tcp dport 80 dnat ip6 to [fd00::1]:8080
\t\tip6 daddr fd00:96::1 udp dport 80 dnat ip6 to [fd00::1]:8080
\t}
}
"""


def world(cart_label: str = "visitor") -> str:
    pods = [
        f"---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: shop, name: {name.split('/')[1]}, "
        f"labels: {{role: {cart_label if name == 'shop/cart' else 'buyer'}}}}}\n"
        f"spec: {{nodeName: n1, containers: [{{name: c}}]}}\n"
        f"status: {{phase: Running, podIPs: [{{ip: {v4}}}, {{ip: '{v6}'}}]}}\n"
        for name, (v4, v6) in PODS.items()
    ]
    return "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n" + "".join(pods)


def allow(*roles: str) -> str:
    """Every pod isolated for ingress; those with these roles may come in."""
    peers = ", ".join(f"{{podSelector: {{matchLabels: {{role: {role}}}}}}}" for role in roles)
    return (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: shop, name: web}\n"
        f"spec: {{podSelector: {{}}, policyTypes: [Ingress], ingress: [{{from: [{peers}]}}]}}\n"
    )


def other(number: int) -> str:
    """A policy that changes what one pod may do, and leaves it alone with these."""
    return (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: shop, name: other}\n"
        "spec: {podSelector: {matchLabels: {role: buyer}}, policyTypes: [Ingress], "
        f"ingress: [{{ports: [{{port: {1000 + number}}}]}}]}}\n"
    )


@pytest.fixture
def lab() -> Iterator[Lab]:
    pods = tuple(PodPlan(name, addresses) for name, addresses in PODS.items())
    with Lab([NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), pods)]) as built:
        assert built.nodes["n1"].run(["nft", "-f", "-"], NAT).returncode == 0
        yield built


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "manifests"
    made.mkdir()
    write(made, "world.yaml", world())
    write(made, "policy.yaml", allow("buyer", "visitor"))
    return made


@pytest.mark.parametrize("cause", ["policy", "label"])
@pytest.mark.parametrize("way", ["pod", "service"])
def test_what_is_denied_stops_and_nothing_else_does(lab: Lab, directory: Path, cause: str, way: str) -> None:
    servers: list[Echo] = []
    denied: list[Talk] = []
    allowed: list[Talk] = []
    with running(lab.nodes["n1"], directory) as agent:
        try:
            for number, address in enumerate(PODS["shop/web"]):
                servers.append(Echo(lab.pods["shop/web"].namespace, address, 8080))
                target = (address, 8080) if way == "pod" else (SERVICE[number], 80)
                for kind in (TCP, UDP):
                    denied.append(Talk(lab.pods["shop/cart"].namespace, kind, *target))
                    allowed.append(Talk(lab.pods["shop/till"].namespace, kind, *target))
                    # The node reaches its own pods, whatever any policy says (NP-090).
                    allowed.append(Talk(lab.nodes["n1"], kind, address, 8080))
            until(lambda: all(len(talk.answered) > 10 for talk in (*denied, *allowed)))
            if cause == "policy":
                write(directory, "policy.yaml", allow("buyer"))
            else:
                write(directory, "world.yaml", world("thief"))
            until(lambda: agent.says("live connections are denied now: ended"))
            # An answer on its way may open a connection once more, until the agent has looked again.
            time.sleep(WATCH_SECONDS)
            ended = {talk: talk.asked for talk in (*denied, *allowed)}
            until(lambda: all(talk.asked > ended[talk] + 50 for talk in ended))
            assert [talk for talk in denied if max(talk.answered) > ended[talk]] == []
            for talk in allowed:
                assert set(range(ended[talk] + 50)) - talk.answered == set()
        finally:
            for talk in (*denied, *allowed):
                talk.close()
            for server in servers:
                server.close()


def test_an_answer_on_its_way_opens_nothing_again_while_other_things_change(
    lab: Lab, directory: Path
) -> None:
    """It opens the connection from the other end. Who looks for that must not be called away by a swap."""
    with running(lab.nodes["n1"], directory) as agent:
        server = Pusher(lab.pods["shop/web"].namespace, "10.0.0.1", 8080)
        talk = Talk(lab.pods["shop/cart"].namespace, UDP, "10.0.0.1", 8080)
        try:
            until(lambda: len(talk.answered) > 10)
            write(directory, "world.yaml", world("thief"))
            until(lambda: agent.says("live connections are denied now: ended"))
            for number in range(40):
                write(directory, "other.yaml", other(number))
                time.sleep(0.01)
                server.quiet = server.quiet or number == 20
            until(lambda: talk.asked > talk.heard + 25)  # and no answer that was on its way opens it again
            ended = talk.asked
            until(lambda: talk.asked > ended + 25)
            assert talk.heard < ended
        finally:
            talk.close()
            server.close()


def test_kept_where_so_set(lab: Lab, directory: Path) -> None:
    with running(lab.nodes["n1"], directory, "--live-connections", "keep") as agent:
        server = Echo(lab.pods["shop/web"].namespace, "10.0.0.1", 8080)
        talk = Talk(lab.pods["shop/cart"].namespace, TCP, "10.0.0.1", 8080)
        try:
            until(lambda: len(talk.answered) > 10)
            write(directory, "world.yaml", world("thief"))
            until(lambda: len(agent.says("ruleset in force")) > 1)
            known = len(talk.answered)
            until(lambda: len(talk.answered) > known + 20)
        finally:
            talk.close()
            server.close()
