"""A cluster as its API shows it: kubectl with a kubeconfig, and waiting. Any cluster will do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from tests.cluster import programs
from tests.cluster.failures import ClusterFailed
from tests.cluster.machine import Result, run

Manifest: TypeAlias = Mapping[str, object]
WAIT_SLICE = 5  # seconds of one `kubectl wait`; between two, dead components are noticed


class Client:
    """What a test can do with a cluster through its API server."""

    def __init__(self, kubeconfig: Path, *, agnhost: str) -> None:
        self.kubeconfig = kubeconfig
        self.agnhost = agnhost  # upstream's test image, by the name that this cluster's nodes know

    def check(self) -> None:
        """Raise if a component of the cluster is known to have ended by itself."""

    def kubectl(self, *arguments: str, stdin: str = "", seconds: float = 60, check: bool = True) -> Result:
        """Run kubectl and give its result; `check` makes a failure an exception."""
        command = (programs.program("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments)
        result = run(command, stdin=stdin, seconds=seconds)
        if check and result.returncode != 0:
            self.check()
            raise ClusterFailed(f"`kubectl {' '.join(arguments)}` failed: {result.stderr.strip()}")
        return result

    def get(self, *arguments: str, namespace: str = "default") -> Any:
        """Give what `kubectl get` reads, as plain values."""
        return json.loads(
            self.kubectl("get", *arguments, "--namespace", namespace, "--output", "json").stdout
        )

    def apply(self, *manifests: Manifest | str) -> None:
        """Create or change objects: manifests as values, or as YAML text."""
        values = [manifest for manifest in manifests if not isinstance(manifest, str)]
        texts = [manifest for manifest in manifests if isinstance(manifest, str)]
        if values:
            texts.append(json.dumps({"apiVersion": "v1", "kind": "List", "items": values}))
        self.kubectl("apply", "--filename", "-", stdin="\n---\n".join(texts))

    def delete(self, *arguments: str, namespace: str = "default", seconds: float = 60) -> None:
        """Delete objects, wait until they are gone, and do not mind if they were gone before."""
        self.kubectl(
            "delete", *arguments, "--namespace", namespace, "--ignore-not-found", "--now", seconds=seconds
        )

    def wait(
        self,
        *resources: str,
        namespace: str = "default",
        until: str = "condition=Ready",
        seconds: float = 120,
    ) -> None:
        """Wait until every one of the resources meets a condition, as `kubectl wait --for` has it."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(1, min(WAIT_SLICE, int(deadline - time.monotonic())))
            how = ("--for", until, "--timeout", f"{left}s", "--namespace", namespace)
            result = self.kubectl("wait", *how, *resources, check=False)
            if result.returncode == 0:
                return
            self.check()
            if time.monotonic() > deadline:
                raise ClusterFailed(f"gave up after {seconds:g} s: {result.stderr.strip()}")
            time.sleep(0.1)

    def exec(self, pod: str, *command: str, namespace: str = "default", seconds: float = 60) -> Result:
        """Run a command in a pod's first container and give its result, also when it failed."""
        return self.kubectl(
            "exec", pod, "--namespace", namespace, "--", *command, seconds=seconds, check=False
        )

    def logs(self, pod: str, *, namespace: str = "default") -> str:
        """Give what a pod's first container has printed."""
        return self.kubectl("logs", pod, "--namespace", namespace).stdout
