"""A container runtime as far as networks go: libcni's part, with real plugins, for pods that are namespaces.

It reads the first configuration of its directory each time, drop-ins included, calls the plugins one after
the other as the specification says, and keeps what they answered (`cniCacheV1`), as libcni 1.3 does.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policyd.cni.conflist import PLUGIN
from policyd.lab.namespace import Namespace
from tests.support.waiting import DEADLINE

#: Where Debian's containernetworking-plugins are.
PLUGINS = Path("/usr/lib/cni")


class Refused(Exception):
    """A plugin's error, as the specification has it."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(f"{code}: {msg}")
        self.code, self.msg = code, msg


@dataclass(frozen=True)
class Sandbox:
    """A pod whose network is made: its namespace, and what the kubelet calls it."""

    namespace: Namespace
    container: str
    pod: str
    uid: str

    @property
    def arguments(self) -> str:
        """CNI_ARGS, as containerd gives them."""
        namespace, name = self.pod.split("/")
        return (
            f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};"
            f"K8S_POD_INFRA_CONTAINER_ID={self.container};K8S_POD_UID={self.uid}"
        )


class Runtime:
    """One node's runtime; its files are below `directory`."""

    def __init__(self, node: Namespace, directory: Path) -> None:
        self.node, self.configurations = node, directory / "net.d"
        self.programs, self.results, self.ipam = directory / "bin", directory / "results", directory / "ipam"
        #: Older libcni does not; and a runtime may not have noticed yet that a list has changed.
        self.reads_drop_ins, self.stale = True, False
        #: Seconds that each ADD of policyd-cni took.
        self.held: list[float] = []
        for made in (self.configurations, self.programs, self.results, self.ipam):
            made.mkdir()
        for plugin in ("ptp", "bridge", "host-local", "portmap", "macvlan"):
            if (PLUGINS / plugin).exists():
                (self.programs / plugin).symlink_to(PLUGINS / plugin)

    def network(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The list that comes first, and its plugins."""
        path = min(path for path in self.configurations.iterdir() if path.suffix == ".conflist")
        found = json.loads(path.read_text())
        drop_ins = sorted((self.configurations / found["name"]).glob("*.conf")) if self.reads_drop_ins else []
        plugins = [*found["plugins"], *(json.loads(each.read_text()) for each in drop_ins)]
        return found, [plugin for plugin in plugins if not (self.stale and plugin["type"] == PLUGIN)]

    def start(self, sandbox: Sandbox) -> dict[str, Any]:
        """Make a pod's network; what was made is unmade again if a plugin refuses, which raises Refused."""
        try:
            result = self.add(sandbox)
        except Refused:
            self.stop(sandbox)
            raise
        return result

    def add(self, sandbox: Sandbox) -> dict[str, Any]:
        """ADD, along the chain. Raises Refused."""
        network, plugins = self.network()
        result: dict[str, Any] | None = None
        for plugin in plugins:
            result = json.loads(self.call("ADD", network, plugin, sandbox, result))
        assert result is not None
        kept = {
            "kind": "cniCacheV1",
            "containerId": sandbox.container,
            "ifName": "eth0",
            "networkName": network["name"],
            "cniArgs": [part.split("=", 1) for part in sandbox.arguments.split(";")],
            "result": result,
        }
        self._kept(network, sandbox).write_text(json.dumps(kept))
        return result

    def check(self, sandbox: Sandbox) -> None:
        """CHECK, along the chain. Raises Refused."""
        network, plugins = self.network()
        result = json.loads(self._kept(network, sandbox).read_text())["result"]
        for plugin in plugins:
            self.call("CHECK", network, plugin, sandbox, result)

    def stop(self, sandbox: Sandbox) -> None:
        """DEL, from the end of the chain."""
        network, plugins = self.network()
        kept = self._kept(network, sandbox)
        result = json.loads(kept.read_text())["result"] if kept.exists() else None
        for plugin in reversed(plugins):
            self.call("DEL", network, plugin, sandbox, result)
        kept.unlink(missing_ok=True)

    def call(
        self,
        command: str,
        network: dict[str, Any],
        plugin: dict[str, Any],
        sandbox: Sandbox | None = None,
        result: dict[str, Any] | None = None,
        **more: object,
    ) -> str:
        """One call of one plugin, and what it writes. Raises Refused."""
        told = {**plugin, "cniVersion": network["cniVersion"], "name": network["name"], **more}
        if result is not None:
            told["prevResult"] = result
        variables = {"CNI_COMMAND": command, "CNI_PATH": str(self.programs), "PATH": os.environ["PATH"]}
        if sandbox is not None:
            variables |= {
                "CNI_CONTAINERID": sandbox.container,
                "CNI_IFNAME": "eth0",
                "CNI_NETNS": sandbox.namespace.path,
                "CNI_ARGS": sandbox.arguments,
            }
        program, began = self.programs / plugin["type"], time.monotonic()
        with self.node.entered():
            done = subprocess.run(
                [program],
                input=json.dumps(told, separators=(",", ":")),
                env=variables,
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
        if command == "ADD" and plugin["type"] == PLUGIN:
            self.held.append(time.monotonic() - began)
        if done.returncode:
            error = json.loads(done.stdout)
            raise Refused(error["code"], error["msg"])
        return done.stdout

    def _kept(self, network: dict[str, Any], sandbox: Sandbox) -> Path:
        return self.results / f"{network['name']}-{sandbox.container}-eth0"
