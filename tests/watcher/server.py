"""What a test needs of an API server, so that it can run on the emulator and on a real one alike."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from policyd.kube.decode import decode_live
from policyd.kube.kind import Kinds
from policyd.kube.objects import KubeObject
from policyd.kube.registry import KINDS
from policyd.watcher.transport import Access, Kubeconfig
from tests.cluster.control_plane import ControlPlane
from tests.watcher.emulator import PODS, POLICIES, Emulator

NAMESPACED = (PODS, POLICIES)


class Server(Protocol):
    """An API server, and what its users do."""

    @property
    def access(self) -> Access: ...

    async def put(self, path: str, *raws: Mapping[str, object]) -> None:
        """Create or change objects, and their status."""
        ...

    async def delete(self, path: str, *keys: str) -> None:
        """Delete objects, without grace."""
        ...

    async def objects(self, path: str) -> dict[str, KubeObject]:
        """What exists, decoded."""
        ...


class EmulatedServer:
    """The emulator as a Server."""

    def __init__(self, emulator: Emulator, access: Access) -> None:
        self.emulator = emulator
        self.access = access

    async def put(self, path: str, *raws: Mapping[str, object]) -> None:
        self.emulator.put(path, *raws)

    async def delete(self, path: str, *keys: str) -> None:
        self.emulator.delete(path, *keys)

    async def objects(self, path: str) -> dict[str, KubeObject]:
        return decode_all(path, [json.loads(text) for _, text in self.emulator.history.listed(path)])


class RealServer:
    """A kube-apiserver with etcd as a Server. `namespace` is where the test's objects go."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.access: Access = Kubeconfig(str(plane.kubeconfig))
        self._namespaces: set[str] = set()

    async def put(self, path: str, *raws: Mapping[str, object]) -> None:
        for raw in raws:
            await asyncio.to_thread(self._put, path, raw)

    async def delete(self, path: str, *keys: str) -> None:
        for key in keys:
            await asyncio.to_thread(self._delete, path, key)

    async def objects(self, path: str) -> dict[str, KubeObject]:
        result = await asyncio.to_thread(self.plane.kubectl, "get", "--raw", path)
        return decode_all(path, json.loads(result.stdout)["items"])

    def _put(self, path: str, raw: Mapping[str, object]) -> None:
        metadata = raw["metadata"]
        assert isinstance(metadata, dict)
        if path in NAMESPACED:
            self._need(metadata["namespace"])
        text = json.dumps(raw)
        apply = ("apply", "--server-side", "--force-conflicts", "--filename", "-")
        self.plane.kubectl(*apply, stdin=text)
        if "status" in raw:
            self.plane.kubectl(*apply, "--subresource", "status", stdin=text)

    def _need(self, namespace: str) -> None:
        if namespace not in self._namespaces:
            self._namespaces.add(namespace)
            self.plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    def _delete(self, path: str, key: str) -> None:
        namespace, _, name = key.rpartition("/")
        place = ("--namespace", namespace) if namespace else ()
        self.plane.kubectl("delete", path.rpartition("/")[2], name, *place, "--grace-period=0", "--force")


def decode_all(path: str, raws: list[dict[str, object]], kinds: Kinds = KINDS) -> dict[str, KubeObject]:
    """Objects by key, as whoever reads all of the raw object understands it."""
    [kind] = [kind for kind in kinds if kind.path == path]
    decoded = (decode_live(raw, kind).item for raw in raws)
    return {kind.key(item): item for item in decoded if item is not None}


@asynccontextmanager
async def emulated(emulator: Emulator | None = None) -> AsyncIterator[EmulatedServer]:
    """Serve an emulator, and reach it by a kubeconfig."""
    with tempfile.TemporaryDirectory() as folder:
        async with (emulator or Emulator()).serve() as serving:
            yield EmulatedServer(serving, write_kubeconfig(Path(folder) / "config", serving.url))


def write_kubeconfig(
    file: Path, url: str, user: Mapping[str, object] | None = None, **cluster: str
) -> Kubeconfig:
    """Write a kubeconfig with one context, `here`; `proxy_url` and the like are fields of its cluster."""
    fields = {name.replace("_", "-"): value for name, value in cluster.items()}
    text = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, **fields}}],
        "users": [{"name": "u", "user": dict(user or {"token": "secret"})}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }
    file.write_text(json.dumps(text))  # JSON is YAML
    return Kubeconfig(str(file))
