"""What the kubelet says of a pod means what the API server says of it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.kube.decode import decode_live
from policyd.kube.objects import NamedPort, Pod
from policyd.kube.registry import POD
from policyd.kubelet.message import Said, read_event
from policyd.kubelet.protobuf import fields
from tests.kubelet.kubelet import ADDED, COMPLETE, DELETED, MODIFIED, field, pod_bytes, varint
from tests.oracle import Manifest
from tests.strategies.worlds import clusters

WEB: dict[str, Any] = {
    "metadata": {
        "namespace": "shop",
        "name": "web",
        "uid": "uid-1",
        "resourceVersion": "4711",
        "creationTimestamp": "2026-11-30T10:00:00Z",
        "deletionTimestamp": "2026-11-30T11:00:00Z",
        "labels": {"app": "web", "empty": ""},
    },
    "spec": {
        "nodeName": "n1",
        "hostNetwork": False,
        "containers": [
            {"name": "a", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9}]},
            {"name": "b", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
        ],
        "initContainers": [
            {"name": "c", "restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 7}]},
            {"name": "d", "ports": [{"name": "never", "containerPort": 8}]},
        ],
    },
    "status": {
        "phase": "Running",
        "startTime": "2026-11-30T10:00:01Z",
        "podIP": "10.0.0.9",
        "podIPs": [{"ip": "10.0.0.9"}, {"ip": "fd00::9"}],
    },
}


def event(kind: int, pod: dict[str, Any]) -> bytes:
    return field(1, kind) + field(2, pod_bytes(pod))


@pytest.mark.parametrize("kind", [ADDED, MODIFIED])
def test_a_pod_is_read_whole(kind: int) -> None:
    said = read_event(event(kind, WEB))
    assert said == Said(
        "is",
        Pod(
            "shop",
            "web",
            "uid-1",
            (("app", "web"), ("empty", "")),
            "n1",
            host_network=False,
            terminal=False,
            deleting=True,
            started="2026-11-30T10:00:01Z",
            v4=10 << 24 | 9,
            v6=0xFD << 120 | 9,
            ports=(NamedPort("http", "TCP", 8080), NamedPort("dns", "UDP", 53), NamedPort("side", "TCP", 7)),
        ),
    )
    assert said.pod is not None
    assert said.pod.version == 4711


def test_it_is_what_the_same_pod_as_json_is() -> None:
    assert read_event(event(ADDED, WEB)).pod == decode_live(WEB, POD).item


@given(clusters())
def test_any_pod_is_the_same_by_both(objects: list[Manifest]) -> None:
    for raw in objects:
        if raw["kind"] == "Pod":
            assert read_event(event(ADDED, raw)) == Said("is", cast(Pod, decode_live(raw, POD).item))


def test_an_end_says_whose_it_is() -> None:
    said = read_event(event(DELETED, {"metadata": {"namespace": "shop", "name": "web", "uid": "uid-1"}}))
    assert said.pod is not None
    assert (said.what, said.pod.namespace, said.pod.name, said.pod.uid) == ("ended", "shop", "web", "uid-1")


def test_all_is_said_at_the_end_of_the_list() -> None:
    assert read_event(field(1, COMPLETE)) == Said("complete")


@pytest.mark.parametrize("message", [b"", field(1, 5), field(1, 99) + field(2, b"\xff"), field(7, "later")])
def test_what_a_later_kubelet_may_say_is_passed_over(message: bytes) -> None:
    assert read_event(message).what == "other"


def test_fields_that_nobody_knows_are_passed_over() -> None:
    later = b"".join(
        (varint(99 << 3 | 1) + bytes(8), varint(98 << 3 | 5) + bytes(4), field(97, 3), field(96, "x"))
    )
    assert read_event(field(1, ADDED) + field(2, pod_bytes(WEB) + later) + later) == read_event(
        event(ADDED, WEB)
    )


def test_a_pod_without_a_usable_name_is_none() -> None:
    said = read_event(event(ADDED, {"metadata": {"name": ""}}))
    assert (said.what, said.pod) == ("is", None)
    assert said.mistakes


@pytest.mark.parametrize(
    "bad",
    [
        b"\x80", b"\xff" * 11, b"\x12\x05ab", b"\x0b", varint(1 << 3 | 1) + b"1234567",
        field(2, 7) + field(1, ADDED) + field(2, field(1, 7)),  # a number where a message must be
        field(1, ADDED) + field(2, field(2, field(11, "yes"))),
        field(1, ADDED) + field(2, field(1, field(1, b"\xff\xfe"))),
        field(1, ADDED) + field(2, field(1, field(8, field(1, 1 << 62)))),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 of any text: who follows only says that it is malformed
        read_event(bad)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    for body in (noise, field(1, ADDED) + field(2, noise), event(ADDED, WEB)[: len(noise)] + noise):
        try:
            read_event(body)
        except ValueError:
            continue


@given(st.integers(0, (1 << 64) - 1), st.binary())
def test_fields_are_what_was_written(number: int, text: bytes) -> None:
    assert list(fields(field(3, number) + field(200, text))) == [(3, number), (200, text)]
