"""Raw Namespace and Node → objects: where pods belong, and where they run."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.kube.cidr import canonical_ip
from policyd.kube.metadata import Metadata
from policyd.kube.objects import NAME_LABEL, Namespace, Node
from policyd.kube.reading import Reading
from policyd.kube.syntax import quote

IP_TYPES = ("InternalIP", "ExternalIP")


def decode_namespace(_raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> Namespace:
    """Decode a Namespace whose metadata has been read; it always has the label of its name (NP-040)."""
    labels = dict(metadata.labels)
    written = labels.get(NAME_LABEL)
    if written is not None and written != metadata.name:
        reading.warn(
            ("metadata", "labels", NAME_LABEL),
            f"the API server sets this label to {quote(metadata.name)}, whatever is written here",
        )
    labels[NAME_LABEL] = metadata.name
    return Namespace(metadata.name, tuple(sorted(labels.items())), reading.source(()))


def decode_node(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> Node:
    """Decode a Node whose metadata has been read; `addresses` are those of status.addresses that are IPs."""
    status = reading.mapping(raw.get("status"), ("status",)) or {}
    found: list[str] = []
    for index, raw_entry in enumerate(reading.items(status.get("addresses"), ("status", "addresses")) or ()):
        path = ("status", "addresses", index)
        entry = reading.mapping(raw_entry, path) or {}
        text = reading.text(entry.get("address"), (*path, "address"))
        try:
            found.append(canonical_ip(text or ""))
        except ValueError as error:
            # Host names are listed here too, and one that reads as an address is one.
            if text is not None and entry.get("type") in IP_TYPES:
                # No pod can claim what is no address (NP-167), so nothing is wrong in what is enforced.
                reading.warn((*path, "address"), str(error))
    return Node(metadata.name, metadata.labels, tuple(dict.fromkeys(found)), reading.source(()))
