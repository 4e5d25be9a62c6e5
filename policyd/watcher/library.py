"""The client library without its models: how transport.py gets what it needs of it.

`import kubernetes_asyncio` executes more than nine hundred modules of generated models, 37 MiB and a quarter
of a second in each agent, and nothing of them is used. So those packages are entered without being executed.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration


def import_client() -> tuple[type[ApiClient], type[Configuration]]:
    """Give the client and its configuration; afterwards `kubernetes_asyncio.config` can be imported, too."""
    if "kubernetes_asyncio" not in sys.modules:
        _enter("kubernetes_asyncio")
        client = _enter("kubernetes_asyncio.client")
        _enter("kubernetes_asyncio.client.models")
        from kubernetes_asyncio.client.api_client import ApiClient  # noqa: PLC0415 now it is cheap
        from kubernetes_asyncio.client.configuration import Configuration  # noqa: PLC0415 now it is cheap

        # The readers of configuration import them from the package.
        vars(client).update(ApiClient=ApiClient, Configuration=Configuration)
    from kubernetes_asyncio import client as entered  # noqa: PLC0415 what we made, or what somebody imported

    return entered.ApiClient, entered.Configuration


def _enter(name: str) -> ModuleType:
    """Make a package importable from, but do not execute its `__init__`."""
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = sys.modules[name] = module_from_spec(spec)
    return module
