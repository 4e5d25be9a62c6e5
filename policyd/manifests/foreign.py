"""Is a file of a directory a manifest at all? Repositories hold templates, values and settings, too. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from policyd.errors import Diagnostic
from policyd.manifests.causes import HELM, WORKFLOW

#: What says of a text that it means to be a manifest.
_KEYS = tuple(re.compile(rb"""(?m)(?:^|[{,\s])["']?%b["']?\s*:""" % key) for key in (b"apiVersion", b"kind"))
#: Kustomize's patches, which look like objects.
_PATCH = re.compile(rb"""(?m)^[\s-]*["']?\$patch["']?\s*:""")
#: What is said of values that are no objects of Kubernetes.
_NO_OBJECT = re.compile(
    r"(?:apiVersion|kind) is required$|: a manifest is a mapping |^a manifest is a mapping "
)


def is_no_manifest(content: bytes, said: Sequence[Diagnostic], *, found: int) -> bool:
    """Whether a text is something else than Kubernetes objects, by what was said when it was read.

    `found`: how many objects were read of it. A manifest that is broken is none: its mistakes count.
    """
    errors = [each.text for each in said if each.severity == "error"]
    if not errors or found:
        return False
    if any(text in (HELM, WORKFLOW) for text in errors):
        return True
    if _PATCH.search(content) or not all(key.search(content) for key in _KEYS):
        return True
    return all(_NO_OBJECT.search(text) for text in errors)
