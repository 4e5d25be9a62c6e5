"""Pods as policy needs them: ports by name (semantics 1.3), addresses and life (1.8)."""

from __future__ import annotations

from typing import Any

import pytest

from policyd.kube.cidr import print_ips
from policyd.kube.decode import decode_live, decode_manifest
from policyd.kube.objects import NamedPort, Pod
from policyd.kube.reading import ReadingOptions
from tests.cases.form import pod
from tests.oracle import Manifest


def decode(raw: Manifest) -> Pod:
    written = decode_manifest(raw, ReadingOptions())
    assert not written.refused, written.mistakes
    assert written.item == decode_live(raw).item
    assert isinstance(written.item, Pod)
    return written.item


def with_containers(*containers: Manifest, key: str = "containers") -> Manifest:
    return pod("x/a", "10.0.0.1", spec={key: list(containers)})


def port(name: str | None, number: Any, protocol: Any = None) -> Manifest:
    entry: Manifest = {"containerPort": number}
    return {
        **entry,
        **({"name": name} if name is not None else {}),
        **({"protocol": protocol} if protocol else {}),
    }


HTTP = NamedPort("http", "TCP", 80)


def test_only_named_ports_are_kept_with_the_protocol_defaulted() -> None:
    raw = with_containers({"ports": [port("http", 80), port(None, 81), port("dns", 53, "UDP")]})
    assert decode(raw).ports == (HTTP, NamedPort("dns", "UDP", 53))


def test_one_name_in_two_containers_counts_twice() -> None:
    """NP-053."""
    raw = with_containers({"ports": [port("http", 80)]}, {"ports": [port("http", 8080)]})
    assert decode(raw).ports == (HTTP, NamedPort("http", "TCP", 8080))


def test_ports_of_native_sidecars_count_and_of_plain_init_containers_do_not() -> None:
    """NP-062."""
    containers = ({"ports": [port("http", 80)], "restartPolicy": "Always"}, {"ports": [port("init", 81)]})
    raw = pod("x/a", "10.0.0.1", spec={"containers": [], "initContainers": list(containers)})
    assert decode(raw).ports == (HTTP,)


def test_the_number_is_the_container_s_and_not_the_host_s() -> None:
    """NP-064."""
    raw = with_containers({"ports": [{**port("http", 80), "hostPort": 8080, "hostIP": "192.0.2.1"}]})
    assert decode(raw).ports == (HTTP,)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ([port("HTTP", 80)], "name"),
        ([port("a" * 16, 80)], "name"),
        ([port("80", 80)], "name"),
        ([port("http", 0)], "containerPort"),
        ([port("http", True)], "containerPort"),
        ([port("http", "80")], "containerPort"),
        ([port("http", None)], "containerPort"),
        ([port("http", 80, "tcp")], "protocol"),
        ([port("http", 80), port("http", 81)], "name"),
        ([port("http", 80), port("http", 80, "UDP")], "name"),
    ],
)
def test_a_bad_port_is_refused_and_its_name_resolves_nowhere(wrong: list[Manifest], path: str) -> None:
    """One name twice in a container is refused even with two protocols (semantics 1.10)."""
    raw = with_containers({"ports": [*wrong, port("good", 1)]})
    decoded = decode_manifest(raw, ReadingOptions())
    assert decoded.item is None
    assert [mistake.path[-1] for mistake in decoded.mistakes] == [path]
    stored = decode_live(raw).item
    assert isinstance(stored, Pod)
    assert NamedPort("good", "TCP", 1) in stored.ports


def test_a_true_is_not_a_one_though_python_thinks_so() -> None:
    """What is remembered of good ports must not be found for bad ones."""
    assert decode(with_containers({"ports": [port("one", 1)]})).ports == (NamedPort("one", "TCP", 1),)
    assert decode_manifest(with_containers({"ports": [port("one", True)]}), ReadingOptions()).refused


@pytest.mark.parametrize(
    ("status", "ips"),
    [
        ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "podIP": "10.0.0.1"}, ("10.0.0.1", "fd00::1")),
        ({"podIPs": [], "podIP": "10.0.0.1"}, ("10.0.0.1",)),
        ({"podIPs": None, "podIP": "10.0.0.1"}, ("10.0.0.1",)),
        ({"podIP": "10.0.0.1"}, ("10.0.0.1",)),
        ({"podIPs": [{"ip": "10.0.0.1"}]}, ("10.0.0.1",)),
        ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}, ("10.0.0.1",)),
        ({"podIPs": [{"ip": "FD00:0::1"}, {"ip": "::ffff:10.0.0.1"}]}, ("10.0.0.1", "fd00::1")),
        ({"podIPs": [{"ip": ""}, {}], "podIP": ""}, ()),
        ({}, ()),
    ],
)
def test_addresses_of_both_families_or_of_old_servers(status: Manifest, ips: tuple[str, ...]) -> None:
    """NP-106."""
    raw = pod("x/a")
    raw["status"] = status
    item = decode(raw)
    assert print_ips(item.v4, item.v6) == ips


@pytest.mark.parametrize("phase", ["Running", "Pending", "Succeeded", "Failed", "Unknown", "", None])
def test_terminal_phases(phase: str | None) -> None:
    """NP-100, NP-104."""
    item = decode(pod("x/a", "10.0.0.1", status={"phase": phase}))
    assert item.terminal is (phase in ("Succeeded", "Failed"))


def test_life_and_place() -> None:
    raw = pod(
        "x/a",
        "10.0.0.1",
        node="n7",
        metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "uid": "u"},
        spec={"hostNetwork": True},
        status={"startTime": "2026-01-02T03:04:05+01:00"},
    )
    item = decode(raw)
    assert (item.node, item.host_network, item.deleting, item.uid) == ("n7", True, True, "u")
    assert item.started == "2026-01-02T02:04:05Z", "in UTC, so that texts sort by time (NP-110)"
    del raw["status"]["startTime"]
    assert decode(raw).started == "2026-01-01T00:00:00Z", "else when it was created"


def test_a_pod_may_be_nothing_but_a_name() -> None:
    item = decode({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})
    assert (item.namespace, item.node, item.v4, item.v6, item.ports) == ("default", None, None, None, ())
    assert item.labels == ()


@pytest.mark.parametrize("name", ["../n1", "n1/..", "N1", "n1\n", "-n1"])
def test_the_name_of_a_node_is_a_name(name: str) -> None:
    """It becomes the name of a file."""
    raw = pod("x/a", "10.0.0.1", node=name)
    [mistake] = decode_manifest(raw, ReadingOptions()).mistakes
    assert mistake.path == ("spec", "nodeName")


def test_bad_addresses_are_left_out_and_reported() -> None:
    raw = pod("x/a", "10.0.0.1", "10.0.0.256")
    decoded = decode_live(raw)
    assert isinstance(decoded.item, Pod)
    assert print_ips(decoded.item.v4, decoded.item.v6) == ("10.0.0.1",)
    assert [m.path for m in decoded.mistakes] == [("status", "podIPs", 1, "ip")]


def test_of_two_addresses_of_one_family_the_first_counts() -> None:
    decoded = decode_live(pod("x/a", "10.0.0.1", "fd00::1", "10.0.0.2"))
    assert isinstance(decoded.item, Pod)
    assert print_ips(decoded.item.v4, decoded.item.v6) == ("10.0.0.1", "fd00::1")
    [mistake] = decoded.mistakes
    assert str(mistake) == 'status.podIPs[2].ip: a pod has one IPv4 address; "10.0.0.2" is another'
