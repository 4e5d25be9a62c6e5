"""Policies that the API server refuses: what reads manifests must refuse them too, not guess a meaning.

`LEGACY` is accepted by servers without StrictIPCIDRValidation (off before Kubernetes 1.36), not by others.
The oracle does not validate; these are for the offline reader.
"""

from __future__ import annotations

from typing import Any

from tests.cases.form import block, ingress, policy
from tests.oracle import Manifest


def _ports(*entries: Any) -> Manifest:
    return ingress("x", "a", {"ports": list(entries)})


def _peers(*entries: Any) -> Manifest:
    return ingress("x", "a", {"from": list(entries)})


def _selector(**expression: Any) -> Manifest:
    return _peers({"podSelector": {"matchExpressions": [expression]}})


REFUSED: dict[str, Manifest] = {
    "NP-008-three-types": policy("x", policyTypes=["Ingress", "Egress", "Ingress"]),
    "NP-008-lowercase": policy("x", policyTypes=["ingress"]),
    "NP-010": {**policy("x"), "apiVersion": "extensions/v1beta1"},
    "NP-027-no-port": _ports({"endPort": 90}),
    "NP-027-named": _ports({"port": "http", "endPort": 90}),
    "NP-027-below": _ports({"port": 80, "endPort": 79}),
    "NP-027-zero": _ports({"port": 80, "endPort": 0}),
    "NP-027-above": _ports({"port": 80, "endPort": 65536}),
    "NP-028-zero": _ports({"port": 0}),
    "NP-028-above": _ports({"port": 65536}),
    "NP-028-negative": _ports({"port": -1}),
    "NP-028-fraction": _ports({"port": 80.5}),
    "NP-028-quoted": _ports({"port": "80"}),
    "NP-028-capitals": _ports({"port": "HTTP"}),
    "NP-028-empty": _ports({"port": ""}),
    "NP-028-dashes": _ports({"port": "a--b"}),
    "NP-028-long": _ports({"port": "a" * 16}),
    "NP-028-no-protocol": _ports({"protocol": "", "port": 80}),
    "NP-028-lowercase-protocol": _ports({"protocol": "tcp", "port": 80}),
    "NP-028-icmp": _ports({"protocol": "ICMP"}),
    "NP-041-rule": ingress("x", "a", {"fom": [{"podSelector": {}}]}),
    "NP-041-peer": _peers({"podSelector": {}, "namespaceselector": {}}),
    "NP-041-spec": policy("x", ingres=[]),
    "NP-043-empty": _peers({}),
    "NP-043-null": _peers(None),
    "NP-043-all-null": _peers({"podSelector": None, "namespaceSelector": None, "ipBlock": None}),
    "NP-043-both": _peers({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
    "NP-043-no-cidr": _peers({"ipBlock": {}}),
    "NP-044-in": _selector(key="k", operator="In"),
    "NP-044-notin": _selector(key="k", operator="NotIn", values=[]),
    "NP-044-exists": _selector(key="k", operator="Exists", values=["v"]),
    "NP-044-absent": _selector(key="k", operator="DoesNotExist", values=["v"]),
    "NP-044-gt": _selector(key="k", operator="Gt", values=["1"]),
    "NP-044-lowercase": _selector(key="k", operator="notIn", values=["v"]),
    "NP-044-key": _selector(key="bad key", operator="Exists"),
    "NP-044-value": _selector(key="k", operator="In", values=["bad value!"]),
    "NP-079-reverse": _peers(block("::ffff:10.0.0.0/104", "10.1.0.0/16")),
    "NP-088-equal": _peers(block("10.0.0.0/8", "10.0.0.0/8")),
    "NP-088-outside": _peers(block("10.0.0.0/8", "11.0.0.0/16")),
    "NP-088-family": _peers(block("10.0.0.0/8", "fd00::/64")),
    "NP-088-empty-except": _peers(block("10.0.0.0/8", "")),
    "NP-088-no-slash": _peers(block("10.0.0.1")),
    "NP-088-33": _peers(block("10.0.0.0/33")),
    "NP-088-negative": _peers(block("10.0.0.0/-1")),
    "NP-088-space": _peers(block(" 10.0.0.0/8")),
    "NP-088-short": _peers(block("1.2.3/24")),
    "NP-088-zone": _peers(block("fe80::1%eth0/64")),
}

LEGACY: dict[str, Manifest] = {
    "NP-077-host-bits": _peers(block("10.0.0.1/8")),
    "NP-077-zeros": _peers(block("010.0.0.0/8")),
    "NP-077-length": _peers(block("10.0.0.0/08")),
    "NP-077-mapped": _peers(block("::ffff:10.0.0.0/104")),
    "NP-078": _peers(block("::ffff:0:0/96")),
    "NP-079": _peers(block("10.0.0.0/24", "::ffff:10.0.0.0/104")),
}
