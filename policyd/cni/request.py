"""What policyd-cni asks the agent, as a value. Pure.

The text is what `plugin.sh` writes: lines `NAME=VALUE`, an empty line, and the configuration that the runtime
gave it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: What a request may have at most: a configuration with a result is some KB.
MAX_BYTES = 1 << 20
_WAIT = re.compile(r"[0-9]{1,4}")


class Unreadable(Exception):
    """Not what the plugin writes; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    """`pod` is `namespace/name`, and `uid` its own: both empty for what is no pod of Kubernetes.

    `result` is what the plugins before it gave, in the form that libcni keeps (`cniCacheV1`).
    """

    command: str
    container: str
    interface: str
    pod: str
    uid: str
    wait_seconds: int
    result: Mapping[str, Any] = field(default_factory=dict)


def read_request(data: bytes) -> Request:
    """A request as the plugin wrote it. Raises Unreadable."""
    try:
        head, _, body = data.decode().partition("\n\n")
        config = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no text with a JSON object after it: {error}") from error
    lines = dict(line.split("=", 1) for line in head.split("\n") if "=" in line)
    wait = lines.get("WAIT_SECONDS", "")
    if not isinstance(config, dict) or not _WAIT.fullmatch(wait) or not lines.get("CNI_IFNAME"):
        raise Unreadable("its lines are not those of policyd-cni")
    arguments = [part.split("=", 1) for part in lines.get("CNI_ARGS", "").split(";") if "=" in part]
    named: dict[str, str] = dict(arguments)
    namespace, pod = named.get("K8S_POD_NAMESPACE", ""), named.get("K8S_POD_NAME", "")
    return Request(
        lines.get("CNI_COMMAND", ""),
        lines.get("CNI_CONTAINERID", ""),
        lines["CNI_IFNAME"],
        f"{namespace}/{pod}" if namespace and pod else "",
        named.get("K8S_POD_UID", ""),
        int(wait),
        {
            "kind": "cniCacheV1",
            "ifName": lines["CNI_IFNAME"],
            "netns": lines.get("CNI_NETNS", ""),
            "cniArgs": arguments,
            "result": config.get("prevResult"),
        },
    )
