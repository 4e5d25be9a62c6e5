"""A Service with two ports, and a part of what is behind it, as the API server has them."""

from __future__ import annotations

from copy import deepcopy
from ipaddress import ip_address
from typing import Any

from policyd.kube.decode import decode_live
from policyd.kube.registry import ENDPOINT_SLICE, SERVICE
from policyd.kube.workloads import EndpointSlice, Service
from policyd_compiler.served import Backend, Served

RAW_SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"namespace": "shop", "name": "web"},
    "spec": {
        "selector": {"app": "web"},
        "clusterIP": "10.96.0.7",
        "clusterIPs": ["10.96.0.7", "fd00:96::7"],
        "ports": [
            {"name": "http", "port": 80, "targetPort": "http"},
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353},
        ],
    },
}
RAW_SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {
        "namespace": "shop",
        "name": "web-x",
        "labels": {"kubernetes.io/service-name": "web"},
    },
    "addressType": "IPv4",
    "endpoints": [
        {"addresses": ["10.244.1.1"], "conditions": {"ready": True}},
        {"addresses": ["10.244.1.2"], "conditions": {"ready": False}},
    ],
    "ports": [
        {"name": "http", "port": 8080, "protocol": "TCP"},
        {"name": "dns", "port": 5353, "protocol": "UDP"},
    ],
}


def v4(text: str) -> int:
    return int(ip_address(text))


def service(raw: dict[str, Any] = RAW_SERVICE) -> Service:
    found = decode_live(raw, SERVICE)
    assert isinstance(found.item, Service)
    assert found.mistakes == ()
    return found.item


def part(**changes: Any) -> EndpointSlice:
    found = decode_live({**deepcopy(RAW_SLICE), **changes}, ENDPOINT_SLICE)
    assert isinstance(found.item, EndpointSlice)
    assert found.mistakes == ()
    return found.item


def ports(served: Served) -> dict[tuple[str, int], tuple[Backend, ...]]:
    return {(p.protocol, p.number): p.backends for p in served[4][v4("10.96.0.7")]}
