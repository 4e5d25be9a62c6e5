"""Which routes to pods have to be asked for again, and which are as the last look found them. Pure.

A question for each address takes 70 us of a processor, and a look comes with each pod that starts or ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.netlink.links import Link, Way
from policyd.node.attach import Address, LocalPod


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found: the pods that there were, the links and the ways, and what came of it.

    `heard`: the indexes of links that may be others since, but for what they count; None where all may be.
    """

    pods: Mapping[str, LocalPod] = field(default_factory=dict)
    links: Mapping[int, Link] = field(default_factory=dict)
    ways: Mapping[Address, Way] = field(default_factory=dict)
    found: Attachments = UNKNOWN
    heard: frozenset[int] | None = None


def known_ways(pods: Iterable[LocalPod], links: Iterable[Link], last: Look) -> dict[Address, Way]:
    """The ways that hold: of pods that were bound by them, and are the same, as are the links.

    Nobody tells of a route that changes alone, so all are to be asked for now and then.
    """
    now = {link.index: link for link in links}
    return dict(known for pod in pods for known in _known(pod, now, last))


def _known(pod: LocalPod, links: Mapping[int, Link], last: Look) -> Iterator[tuple[Address, Way]]:
    attachment = last.found.pods.get(pod.key)
    if attachment is None or last.pods.get(pod.key) != pod:
        return
    for address in pod.addresses:
        way = last.ways.get(address)
        link = None if way is None else links.get(way.link)
        if way is None or link is None or not _is_same(link, last.links.get(link.index)):
            continue
        # By another link than the pod's own, as by the node's uplink until its route is there, it may move.
        if link.name in (attachment.interface, attachment.bridge):
            yield address, way


def _is_same(link: Link, before: Link | None) -> bool:
    return before is link or (before is not None and replace(before, received=link.received) == link)
