"""The networks on which policyd is tried: what each is, and where its pods are judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "flannel": {"network": "flannel"},
    "iptables": {"network": "flannel", "proxy": "iptables"},
    "ptp": {"network": "ptp"},
    "legacy": {"network": "cilium", "way": "legacy"},  # by the node's own stack
    "cilium": {"network": "cilium"},  # by eBPF, past it
    "tunnel": {"network": "cilium", "way": "tunnel"},
    "replacing": {"network": "cilium", "way": "replacing"},  # and no kube-proxy
}
#: Those whose packets the node does not see, or may not: an agent finds out without a setting for it.
BESIDE = frozenset({"legacy", "cilium", "tunnel", "replacing"})


def on(*names: str) -> pytest.MarkDecorator:
    """Run a test on each of these networks; `which` is its name here."""
    params = [pytest.param(dict(NETWORKS[name]), name, id=name) for name in names]
    return pytest.mark.parametrize(("client", "which"), params, indirect=["client"])
