"""A result of a CNI plugin, as libcni keeps it."""

from __future__ import annotations

from typing import Any

RESULT: dict[str, Any] = {
    "kind": "cniCacheV1",
    "containerId": "0a1b",
    "ifName": "eth0",
    "networkName": "cbr0",
    "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_UID", "uid-1"]],
    "result": {
        "cniVersion": "1.0.0",
        "ips": [{"address": "10.0.0.9/24", "gateway": "10.0.0.1"}, {"address": "fd00::0009/64"}],
    },
}
