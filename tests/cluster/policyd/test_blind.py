"""On a network whose packets take a way past every rule policyd says so: Cilium with eBPF routing."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from policyd.lab.probes import Probe, probe_all
from policyd.lab.servers import Servers
from tests.cluster.failures import wait_until
from tests.cluster.policyd.installation import NAMESPACE, Installation
from tests.cluster.policyd.pods import Place, Pod, Pods, policy

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.parametrize("client", ["cilium"], indirect=True),
]

PORT, PACKETS = 8080, 10
#: It says 30 s of traffic in docs/install/cilium.md; of a machine with other work no more is asked than this.
SECONDS = 120


@pytest.fixture
def isolated(policyd: Installation, pods: Pods) -> Iterator[tuple[Pod, Pod]]:
    """Give two pods of one node; the second is isolated, so nothing may reach it."""
    namespace = pods.namespace("blind")
    found = pods.start(namespace, {name: Place("n1", {"pod": name}) for name in ("sender", "isolated")})
    policyd.cluster.apply(
        policy(
            "isolated", namespace, podSelector={"matchLabels": {"pod": "isolated"}}, policyTypes=["Ingress"]
        )
    )
    with Servers() as servers:
        for address in found["isolated"].addresses:
            servers.listen(found["isolated"].network, "udp", address, PORT)
        yield found["sender"], found["isolated"]


def saying(installation: Installation) -> dict[str, bool]:
    """Which of all that tell of enforcement say that there is none on n1."""
    cluster, pod = installation.cluster, installation.pods()["n1"]
    ready, metrics = installation.ask("n1", "/readyz"), installation.ask("n1", "/metrics")[1]
    status = cluster.exec(pod, "policyd", "status", namespace=NAMESPACE)
    conditions = cluster.get("pod", pod, namespace=NAMESPACE)["status"]["conditions"]
    found = cluster.get("events", "--field-selector=involvedObject.name=n1,reason=PodsUnseen")["items"]
    return {
        "readyz": ready[0] == 503 and "[-] pods-unseen: eBPF programs of Cilium" in ready[1],
        "condition": 'policyd_condition{condition="pods-unseen"} 1.0' in metrics,
        "enforcing": "policyd_enforcing 0.0" in metrics,
        "status": status.returncode == 1 and "DEGRADED: pods-unseen: " in status.stdout,
        "kubelet": {"type": "Ready", "status": "False"}.items()
        <= next(c for c in conditions if c["type"] == "Ready").items(),
        "Event": any(e["type"] == "Warning" and "netfilter saw" in e["message"] for e in found),
    }


def test_blind_is_not_enforcing(
    policyd: Installation, isolated: tuple[Pod, Pod], tell: Callable[[str], None]
) -> None:
    """What policies deny comes through there, and everything that reports enforcement says so."""
    sender, target = isolated
    probes = [Probe(sender.network, address, "udp", PORT) for address in target.addresses]
    wait_until(
        lambda: policyd.state("n1")["enforced"]["stats"]["isolated"] > 0,
        "the policy is not known",
        seconds=60,
        check=policyd.cluster.check,
    )
    assert any(outcome.reached for outcome in probe_all(probes, 1.0)), (
        "nothing takes a way past the rules here"
    )
    began, said = time.monotonic(), dict[str, float]()
    with sender.network.entered():
        speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with speaker:
        address = next(a for a in target.addresses if ":" not in a)

        def all_say() -> bool:
            for _ in range(PACKETS):
                speaker.sendto(b"x", (address, PORT))
            now = time.monotonic() - began
            said.update({who: now for who, says in saying(policyd).items() if says and who not in said})
            return len(said) == len(saying(policyd))

        wait_until(
            all_say,
            "not everything says that nothing is enforced",
            seconds=SECONDS,
            check=policyd.cluster.check,
        )
    tell("Blind on Cilium, s after the first packet: " + ", ".join(f"{w} {s:.0f}" for w, s in said.items()))
