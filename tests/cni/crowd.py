"""Many pods that start one after the other, and what packets meet in their first moments."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self

from policyd.lab.namespace import Namespace
from tests.agent.agents import write
from tests.cni.bed import Bed, address_of
from tests.cni.runtime import Sandbox

#: Friends may reach new pods, and new pods may reach the server: nothing else.
POLICIES = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: new, namespace: shop}
spec:
  podSelector: {matchLabels: {app: new}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]
  egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: new}}}]}]
"""
PORT = 9000
#: The API server tells of so many pods before they start, as a scheduler is ahead of kubelets.
AHEAD = 20
#: A datagram that is allowed takes less than a millisecond; this is for a machine with other work.
ARRIVAL_SECONDS = 20.0


class Mailbox:
    """A datagram socket in a pod: what came, by the address of its sender."""

    def __init__(self, place: Namespace, address: str = "") -> None:
        """`address`: the one that it has; all those of the pod by default."""
        with place.entered():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, PORT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, address: str, text: bytes = b"") -> None:
        """Send one datagram, if the rules in its own namespace let it."""
        with suppress(PermissionError):
            self.socket.sendto(text, (address, PORT))

    def heard(self) -> set[str]:
        """Who has sent something since the last call."""
        found = set()
        self.socket.settimeout(0)
        while True:
            try:
                found.add(self.socket.recvfrom(64)[1][0])
            except BlockingIOError:
                return found

    def waits_for(self, address: str) -> bool:
        """Whether something comes from an address; all else that comes is forgotten."""
        end = time.monotonic() + ARRIVAL_SECONDS
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if self.socket.recvfrom(64)[1][0] == address:
                    return True
            except TimeoutError:
                break
        return False


class Flood:
    """Datagrams from a foe to every address that a pod may get, all the time."""

    def __init__(self, box: Mailbox, addresses: Sequence[str]) -> None:
        self._box, self._addresses = box, addresses
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            for address in self._addresses:
                try:
                    self._box.send(address)
                except OSError:
                    continue  # nobody has it yet


@dataclass(frozen=True)
class Outcome:
    """What became of the starts: `leaked` and `lost` name pods, `held` are seconds that the plugin took."""

    leaked: tuple[str, ...]
    lost: tuple[str, ...]
    held: tuple[float, ...]


def forget(places: Iterable[Namespace]) -> None:
    """Forget who had which address: each comes again after seconds, and on a bridge its last holder would be
    sent to, also without policyd, for up to 18 s, as Debian's plugin announces nobody.
    """
    for place in places:
        place.ip(["neigh flush dev eth0"])


class Crowd:
    """Starts pods on a bed whose agent is at work."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        write(bed.manifests, "policies.yaml", POLICIES)

    def run(self, number: int, a_second: float) -> Outcome:
        """Start so many pods, so many a second."""
        bed = self.bed
        with ExitStack() as stack:
            places = {name: bed.started(name) for name in ("friend", "foe", "server")}
            boxes = {name: stack.enter_context(Mailbox(place)) for name, (place, _) in places.items()}
            at = {name: address for name, (_, address) in places.items()}
            addresses = [
                f"10.244.1.{last}" for last in range(2, 255) if f"10.244.1.{last}" not in at.values()
            ]
            stack.enter_context(Flood(boxes["foe"], addresses))
            names = [f"new-{index}" for index in range(number)]
            for name in names[:AHEAD]:
                bed.say(name, app="new")
            began = time.monotonic()
            leaked: list[str] = []
            lost: list[str] = []
            under_way: dict[str, tuple[Sandbox, Mailbox, Future[dict[str, Any]]]] = {}
            for index, name in enumerate(names):
                time.sleep(max(0.0, began + index / a_second - time.monotonic()))
                sandbox = bed.sandbox(name)
                box = stack.enter_context(Mailbox(sandbox.namespace))
                under_way[name] = (sandbox, box, bed.start(sandbox))
                time.sleep(0.5 / a_second)
                for ahead in names[index + AHEAD : index + AHEAD + 1]:
                    bed.say(ahead, app="new")
                for done in [each for each, (*_, start) in under_way.items() if start.done()]:
                    self._judge(done, under_way.pop(done), boxes, at, leaked, lost)
                    forget(places[name][0] for name in ("friend", "server"))
            for name in list(under_way):
                under_way[name][2].result()
                self._judge(name, under_way.pop(name), boxes, at, leaked, lost)
            if boxes["foe"].heard():
                leaked.append("to the foe")
        return Outcome(tuple(leaked), tuple(lost), tuple(bed.runtime.held))

    def _judge(
        self,
        name: str,
        new: tuple[Sandbox, Mailbox, Future[dict[str, Any]]],
        boxes: dict[str, Mailbox],
        at: dict[str, str],
        leaked: list[str],
        lost: list[str],
    ) -> None:
        """The first packets of a pod that may start now, and all that has come to it before."""
        sandbox, box, start = new
        address = address_of(start.result())
        box.send(at["foe"])
        box.send(at["server"])
        if not boxes["server"].waits_for(address):
            lost.append(f"from {name}")
        heard = box.heard()
        boxes["friend"].send(address)
        if not box.waits_for(at["friend"]):
            lost.append(f"to {name}")
        if at["foe"] in heard | box.heard():
            leaked.append(f"to {name}")
        box.socket.close()
        self.bed.runtime.stop(sandbox)
        (self.bed.manifests / f"{name}.yaml").unlink()
