"""The API server over one connection that stays open: no kubectl has to start before a change is made."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPSConnection
from typing import Any

from tests.cluster.addresses import API_PORT, CONTROL_PLANE
from tests.cluster.client import Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.failures import ClusterFailed
from tests.cluster.policyd.pods import network_of

PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Pod": "/api/v1/namespaces/{}/pods",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "ClusterNetworkPolicy": "/apis/policy.networking.k8s.io/v1beta1/clusternetworkpolicies",
}
ANSWER_SECONDS = 30
CONNECTIONS = 24


class Api:
    """One connection to the API server of a cluster of ours, as its administrator."""

    def __init__(self, plane: ControlPlane) -> None:
        file = plane.authority.file
        context = ssl.create_default_context(cafile=str(file("ca.crt")))
        context.load_cert_chain(file("admin.crt"), file("admin.key"))
        self._connection = HTTPSConnection(
            CONTROL_PLANE.v4, API_PORT, timeout=ANSWER_SECONDS, context=context
        )
        with network_of("cp", plane.machine) as machine, machine.entered():
            self._connection.connect()  # without the way through the door, which would count as the agents'

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def create(self, manifest: Manifest) -> float:
        """Create an object; give the moment of the answer."""
        return self._send("POST", collection(manifest), manifest)

    def replace(self, manifest: Manifest, subresource: str = "") -> float:
        """Replace an object or its status; give the moment of the answer."""
        return self._send("PUT", place(manifest) + subresource, manifest)

    def patch(self, manifest: Manifest, changes: Manifest) -> float:
        """Change fields of an object; give the moment of the answer."""
        return self._send("PATCH", place(manifest), changes)

    def delete(self, manifest: Manifest) -> float:
        """Delete an object; give the moment of the answer."""
        return self._send("DELETE", place(manifest), {})

    def _send(self, method: str, path: str, body: Manifest) -> float:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        self._connection.request(method, path, json.dumps(body), {"Content-Type": kind})
        answer = self._connection.getresponse()
        moment = time.monotonic()
        text = answer.read().decode(errors="replace")
        if answer.status >= 300:
            raise ClusterFailed(f"{method} {path}: the API server answers {answer.status}: {text[:300]}")
        return moment


@contextmanager
def opened_api(plane: ControlPlane) -> Iterator[Api]:
    """Give a connection, and close it afterwards."""
    api = Api(plane)
    try:
        yield api
    finally:
        api.close()


def collection(manifest: Manifest) -> str:
    """Give the path where objects like this one are created."""
    metadata: Any = manifest["metadata"]
    return PATHS[str(manifest["kind"])].format(metadata.get("namespace", ""))


def place(manifest: Manifest) -> str:
    """Give the path of an object."""
    metadata: Any = manifest["metadata"]
    return f"{collection(manifest)}/{metadata['name']}"


def create_all(plane: ControlPlane, manifests: Sequence[Manifest]) -> None:
    """Create many objects over many connections; one that has a status gets it."""

    def create(share: Sequence[Manifest]) -> None:
        with opened_api(plane) as api:
            for manifest in share:
                api.create(manifest)
                if "status" in manifest:
                    api.replace(manifest, "/status")

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(create, [manifests[number::CONNECTIONS] for number in range(CONNECTIONS)]))
