"""What a test needs of an API server, so that it can run on the emulator and on a real one alike."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from policyd.kube.decode import decode_live
from policyd.kube.kind import Kind, Kinds
from policyd.kube.objects import KubeObject
from policyd.watcher.transport import Access, Kubeconfig
from tests.cluster.control_plane import ControlPlane
from tests.support.waiting import DEADLINE
from tests.support.widget import WITH_WIDGETS
from tests.watcher.emulator import PODS, POLICIES, Emulator

NAMESPACED = (PODS, POLICIES)
#: Those of a custom resource.
VERSIONS = ("v1", "v2")


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

    async def serve(self, kind: Kind[Any], *versions: str) -> None:
        """Serve a custom resource of no namespace in these of VERSIONS, or in none; its objects stay."""
        ...

    async def uninstall(self, kind: Kind[Any]) -> None:
        """Delete the definition of a custom resource, and so its objects."""
        ...


class EmulatedServer:
    """The emulator as a Server."""

    def __init__(self, emulator: Emulator, access: Kubeconfig) -> None:
        self.emulator = emulator
        self.access = access

    async def put(self, path: str, *raws: Mapping[str, object]) -> None:
        self.emulator.put(path, *raws)

    async def delete(self, path: str, *keys: str) -> None:
        self.emulator.delete(path, *keys)

    async def objects(self, path: str) -> dict[str, KubeObject]:
        return decode_all(path, [json.loads(text) for _, text in self.emulator.history.listed(path)])

    async def serve(self, kind: Kind[Any], *versions: str) -> None:
        for version in VERSIONS:
            path = path_of(kind, version)
            self.emulator.kinds[path] = kind.name
            if version in versions:
                self.emulator.missing.discard(path)
            else:
                self.emulator.missing.add(path)
                self.emulator.cut(path, "end")

    async def uninstall(self, kind: Kind[Any]) -> None:
        await self.delete(kind.path, *(key for key, _ in self.emulator.history.listed(kind.path)))
        await self.serve(kind)


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

    async def serve(self, kind: Kind[Any], *versions: str) -> None:
        await asyncio.to_thread(self.plane.apply, definition(kind, *versions))
        for version in VERSIONS:
            await self._until_served(path_of(kind, version), version in versions)

    async def uninstall(self, kind: Kind[Any]) -> None:
        await asyncio.to_thread(self.plane.kubectl, "delete", "crd", f"{kind.plural}.{kind.group}")
        for version in VERSIONS:
            await self._until_served(path_of(kind, version), False)

    async def _until_served(self, path: str, served: bool) -> None:
        def is_so() -> bool:
            return (self.plane.kubectl("get", "--raw", path, check=False).returncode == 0) == served

        async with asyncio.timeout(DEADLINE):
            while not await asyncio.to_thread(is_so):
                pass

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


def path_of(kind: Kind[Any], version: str) -> str:
    """Where a server lists the objects in another version."""
    return f"/apis/{kind.group}/{version}/{kind.plural}"


def definition(kind: Kind[Any], *versions: str) -> dict[str, object]:
    """A CustomResourceDefinition that has VERSIONS and serves these; objects are stored in the first one."""
    free = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Cluster",
            "names": {"plural": kind.plural, "singular": kind.name.lower(), "kind": kind.name},
            "versions": [
                {"name": v, "served": v in versions, "storage": v == VERSIONS[0], "schema": free}
                for v in VERSIONS
            ],
        },
    }


def decode_all(
    path: str, raws: list[dict[str, object]], kinds: Kinds = WITH_WIDGETS
) -> dict[str, KubeObject]:
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
