"""Which plugins a container runtime calls for each pod, as the first of its configurations says."""

from __future__ import annotations

import json
from pathlib import Path

from policyd.cni.files import configurations


def read_plugins(directory: Path) -> tuple[str, ...]:
    """The types of the plugins, in their order; none where there is no configuration that can be read."""
    try:
        paths = configurations(directory)
        found = json.loads(paths[0].read_bytes()) if paths else None
    except (OSError, ValueError, RecursionError):  # no permission, half written
        return ()
    match found:
        case {"plugins": list(plugins)}:
            return tuple(str(each["type"]) for each in plugins if isinstance(each, dict) and "type" in each)
        case {"type": str(kind)}:
            return (kind,)
        case _:
            return ()
