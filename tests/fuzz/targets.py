"""Every target by its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.fuzz import (
    cni_reader,
    kubelet_reader,
    lint_reader,
    netlink_reader,
    nft_readers,
    proof_reader,
    readers,
    watch_reader,
)
from tests.fuzz.target import Target

#: Each is made when it is needed, with a directory for its files.
TARGETS: dict[str, Callable[[Path], Target]] = {
    **{name: partial(readers.manifest_reader, name) for name in readers.MANIFESTS},
    "lint": lint_reader.lint_reader,
    "lint-settings": lint_reader.lint_settings_reader,
    "settings": readers.settings_reader,
    "cni": readers.cni_reader,
    "cni-request": cni_reader.request_reader,
    "cni-list": cni_reader.list_reader,
    "kubelet": kubelet_reader.kubelet_reader,
    "attachments": readers.attachments_reader,
    "watch": watch_reader.watch_reader,
    "discovery": watch_reader.discovery_reader,
    "state": nft_readers.state_reader,
    "listing": nft_readers.listing_reader,
    "listing-bridge": nft_readers.bridge_listing_reader,
    "script": nft_readers.script_reader,
    "ruleset": proof_reader.ruleset_reader,
    "errors": nft_readers.error_reader,
    "netlink": netlink_reader.netlink_reader,
}
