"""A day on a cluster with policyd: packets that flow all along, and the proof that in the end all is well.

What goes wrong meanwhile is the test's business. Nothing here changes the cluster but pods and policies of
a namespace of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException

from policyd_compiler.nft.json_parser import parse_listing
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.plan import differences
from tests.cluster.addresses import NODES
from tests.cluster.cluster import Cluster
from tests.cluster.failures import ClusterFailed, wait_until
from tests.cluster.policyd.api import opened_api
from tests.cluster.policyd.installation import NAMESPACE, TABLE, Installation
from tests.cluster.policyd.pods import Place, Pod, Pods, policy
from tests.cluster.policyd.stream import LOST_SECONDS, Stream

WEB, ALLOWED, DENIED = "web", "allowed", "denied"
#: From which node to which, and in which family: each node judges one direction.
LANES = (("n2", "n1", 4), ("n1", "n2", 6))
FLOW_SECONDS = 20.0
WELL_SECONDS = 60.0
#: After a long failure the watcher pauses for half a minute, and for as long again where a list is needed.
RECOVERY_SECONDS = 90.0
#: How soon packets must meet a new policy, after a bad day as on any other.
BITES_SECONDS = 1.0
#: The best of some tries counts: the machine may have other work, and what is wrong is wrong each time.
BITES_TRIES = 3
#: Of some hundred thousand packets, and because the machine may have other work. Rules that were gone or
#: wrong for a moment would cost more: there is a packet each millisecond.
LOST_AT_MOST = 20


@dataclass(slots=True)
class Lane:
    """Two streams from one node to another; `first` is the packet from which on friends may lose none."""

    friend: Stream
    foe: Stream
    first: int


@dataclass(slots=True)
class Day:
    """A namespace in which friends reach the web and foes do not, and what flows there."""

    installation: Installation
    pods: Pods
    namespace: str
    placed: dict[str, Pod]
    lanes: list[Lane] = field(default_factory=list)
    _flow: ExitStack = field(default_factory=ExitStack)

    @property
    def cluster(self) -> Cluster:
        """Give the cluster."""
        return self.installation.cluster

    def flow(self) -> None:
        """Let packets flow from now on, between all pods that are placed."""
        for source, target, family in LANES:
            web = self.placed[f"{WEB}-{target}"]
            address = next(a for a in web.addresses if (":" in a) == (family == 6))
            friend, foe = (
                self._flow.enter_context(
                    Stream(self.placed[f"{role}-{source}"].network, web.network, address, port)
                )
                for role, port in ((ALLOWED, 9000), (DENIED, 9001))
            )
            assert friend.wait_for_arrival(0, FLOW_SECONDS) is not None, f"nothing comes through to {target}"
            self.lanes.append(Lane(friend, foe, friend.now()))

    def stop_flow(self) -> None:
        """Let nothing flow any more."""
        self._flow.close()
        self.lanes.clear()

    def flowed(self) -> str:
        """Hold that no packet of a foe has passed and none of a friend was lost; tell how many there were."""
        time.sleep(2 * LOST_SECONDS)  # what was sent last is on its way
        lost = sum(len(lane.friend.lost(lane.first)) for lane in self.lanes)
        leaked = sum(len(lane.foe.arrived()) for lane in self.lanes)
        allowed = sum(lane.friend.now() - lane.first for lane in self.lanes)
        denied = sum(lane.foe.now() for lane in self.lanes)
        told = f"of {denied} denied packets {leaked} passed, of {allowed} allowed ones {lost} were lost"
        assert leaked == 0, told
        assert lost <= LOST_AT_MOST, told
        return told

    def is_well(self, seconds: float = WELL_SECONDS) -> str:
        """Hold that packets flowed, that both nodes enforce what the cluster says, and that they go on so."""
        self.wait_until_right(seconds)
        told = self.flowed()
        tries = [max(self._bites()) for _ in range(BITES_TRIES)]
        assert min(tries) < BITES_SECONDS, tries
        return f"{told}; a new policy bites after {min(tries) * 1000:.0f} ms"

    def wait_until_right(self, seconds: float = WELL_SECONDS) -> None:
        """Wait until agents are ready and ruleset, fresh compilation and kernel agree on both nodes."""
        deadline = time.monotonic() + seconds
        while wrong := [text for node in NODES for text in self._wrong(node)]:
            self.cluster.check()
            assert time.monotonic() < deadline, "\n".join(wrong)

    def _wrong(self, node: str) -> list[str]:
        try:
            status, body = self.installation.ask(node, "/readyz")
            if status != 200:
                return [f"{node} is not ready: {body}"]
            held = self.installation.ask(node, "/debug/ruleset")[1]
            fresh = self._compiled(node)
            if held != fresh:
                odd = set(held.splitlines()) ^ set(fresh.splitlines())
                return [f"{node}: a fresh start would bring another ruleset:", *sorted(odd)]
            listing = self.cluster.node(node).run("nft", "--json", "list", "table", *TABLE).stdout
            table = parse_listing(listing, TABLE[1])
            if table is None:
                return [f"{node}: there is no table"]
            return [f"{node}: {text}" for text in differences(table, parse_replace(held))]
        except (OSError, HTTPException, ClusterFailed) as error:
            return [f"{node}: {type(error).__name__} {error}"]

    def _compiled(self, node: str) -> str:
        """Compile what the API server says now, in the agent's container: the same program, a fresh start."""
        state = self.installation.state(node)
        interfaces = ",".join(state["settings"]["pod_interfaces"])
        generation = str(state["enforced"]["generation"])
        how = ("--node", node, "--generation", generation, "--pod-interfaces", interfaces)
        pod = self.installation.pods()[node]
        result = self.cluster.exec(pod, "policyd", "compile", "--live", *how, namespace=NAMESPACE)
        if result.returncode != 0:
            raise ClusterFailed(f"`policyd compile --live` on {node}: {result.stderr.strip()}")
        return result.stdout

    def _bites(self) -> list[float]:
        """Close the friends and open them again; the seconds that each took, for each lane."""
        closed = policy("closed", self.namespace, **selecting(ALLOWED), policyTypes=["Egress"])
        found = []
        with opened_api(self.cluster.plane) as api:
            for request, wait in ((api.create, Stream.wait_for_loss), (api.delete, Stream.wait_for_arrival)):
                first = [lane.friend.now() for lane in self.lanes]
                answered = request(closed)
                for lane, number in zip(self.lanes, first, strict=True):
                    met = wait(lane.friend, number, FLOW_SECONDS)
                    assert met is not None, f"not in force {FLOW_SECONDS:g} s after the answer"
                    found.append(lane.friend.sent_at(met) - answered)
        for lane in self.lanes:
            lane.first = lane.friend.now()
        return found

    def metric(self, node: str, line: str) -> float:
        """Give the value of a metric, named with its labels as in the text that an agent tells."""
        told = self.installation.ask(node, "/metrics")[1].splitlines()
        return next((float(each.rpartition(" ")[2]) for each in told if each.startswith(f"{line} ")), 0.0)

    def conditions(self, node: str) -> set[str]:
        """Give the names of what an agent says is not as it should be."""
        return {condition["name"] for condition in self.installation.state(node)["conditions"]}

    def waits_for(self, question: Callable[[str], bool], what: str, *, seconds: float) -> float:
        """Wait until the answer is yes for both nodes; give how long that took."""
        began = time.monotonic()
        wait_until(
            lambda: all(question(node) for node in NODES),
            what,
            seconds=seconds,
            check=self.cluster.check,
        )
        return time.monotonic() - began

    def recovers(self) -> float:
        """Wait until the agents have nothing to complain of; give how long that took."""
        why = "the agents do not come back"
        return self.waits_for(lambda node: not self.conditions(node), why, seconds=RECOVERY_SECONDS)

    def restarts(self) -> int:
        """Count how often kubelets have started the agents again."""
        found = self.cluster.get("pods", namespace=NAMESPACE)["items"]
        return sum(status["restartCount"] for pod in found for status in pod["status"]["containerStatuses"])


def selecting(role: str) -> dict[str, object]:
    """Select pods by their role, in a policy's spec or as a peer."""
    return {"podSelector": {"matchLabels": {"role": role}}}


@contextmanager
def opened_day(installation: Installation) -> Iterator[Day]:
    """Start the pods, write the policy, and let packets flow."""
    with Pods(installation.cluster) as pods:
        namespace = pods.namespace("day")
        rule = {"from": [selecting(ALLOWED)]}
        installation.cluster.apply(
            policy("web", namespace, **selecting(WEB), policyTypes=["Ingress"], ingress=[rule])
        )
        places = {
            f"{role}-{node}": Place(node, {"role": role}) for role in (WEB, ALLOWED, DENIED) for node in NODES
        }
        day = Day(installation, pods, namespace, pods.start(namespace, places))
        installation.wait_until_quiet()
        day.flow()
        try:
            yield day
        finally:
            day.stop_flow()
