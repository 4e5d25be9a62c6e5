"""A node with a runtime, real plugins and a real agent: pods start as a kubelet starts them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from policyd.cni.conflist import PLUGIN, with_plugin
from policyd.cni.files import Place, install
from policyd.lab.namespace import Namespace
from policyd.lab.probes import Probe, probe_all
from policyd.lab.servers import Servers
from tests.agent.agents import Agent, running, write
from tests.agent.asking import ask_root
from tests.cni.runtime import PLUGINS, Runtime, Sandbox

needs_plugins = pytest.mark.skipif(
    not (PLUGINS / "ptp").exists(), reason="Debian's containernetworking-plugins are not installed"
)
Wiring = Literal["ptp", "bridge", "macvlan"]
PORT = 8080


def configuration(wiring: Wiring, ipam: Path) -> dict[str, Any]:
    """A list as kindnet's or Flannel's, without ours."""
    addresses = {
        "type": "host-local",
        "dataDir": str(ipam),
        "ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:1::/112"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
    main: dict[str, Any] = {"type": "ptp", "ipam": addresses}
    if wiring == "bridge":
        main = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": addresses,
        }
    if wiring == "macvlan":
        main = {"type": "macvlan", "master": "up0", "mode": "bridge", "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "cbr0", "plugins": [main]}


def pod_manifest(name: str, *, uid: str = "", address: str = "", app: str = "") -> str:
    """A pod of the node n1, as the API server has it: without an address until the kubelet tells."""
    status = f"{{phase: Running, podIPs: [{{ip: {address}}}]}}" if address else "{phase: Pending}"
    return (
        "apiVersion: v1\nkind: Pod\n"
        f"metadata: {{name: {name}, namespace: shop, uid: {uid or f'uid-{name}'}, "
        f"labels: {{app: {app or name}}}}}\n"
        f"spec: {{nodeName: n1, containers: [{{name: c}}]}}\nstatus: {status}\n"
    )


#: Who may reach `web`: `friend`, at one port.
WORLD = f"""\
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: web, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: web}}}}
  ingress: [{{from: [{{podSelector: {{matchLabels: {{app: friend}}}}}}], ports: [{{port: {PORT}}}]}}]
"""


class Bed:
    """One node. What it makes is gone with it."""

    def __init__(self, stack: ExitStack, directory: Path, wiring: Wiring) -> None:
        self._stack, self.directory = stack, directory
        self.node = self.namespace("node")
        self.node.set_sysctls({"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"})
        self.manifests = directory / "manifests"
        self.manifests.mkdir()
        write(self.manifests, "world.yaml", WORLD)
        self.runtime = Runtime(self.node, directory)
        # Short, as a socket's path must be.
        self.run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policyd-cni-")))
        self.list = self.runtime.configurations / "10-net.conflist"
        self.list.write_text(json.dumps(configuration(wiring, self.runtime.ipam), indent=2))
        self.servers = stack.enter_context(Servers())
        self.outside = self.node  # where there is somebody beyond the node: who
        self._threads = stack.enter_context(ThreadPoolExecutor(32))
        self._numbers = iter(range(1, 10**6))

    def reboot(self) -> None:
        """Nothing that was in the kernel or in /run is there any more; the disk is."""
        self.servers.close()
        self.node = self.runtime.node = self.namespace("node")
        self.node.set_sysctls({"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"})
        for directory in (self.run_dir, self.runtime.ipam):
            for path in directory.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.servers = self._stack.enter_context(Servers())

    def namespace(self, label: str) -> Namespace:
        made = self._stack.enter_context(closing(Namespace(label)))
        made.set_sysctls({"net.ipv6.conf.default.accept_dad": "0"})  # which the plugins would wait for
        return made

    def install(self, **more: object) -> None:
        """Put the plugin into the chain, as the agent does, with a short wait."""
        entry = {
            "type": PLUGIN,
            "runDir": str(self.run_dir),
            "waitSeconds": 60,
            "unanswered": "refuse",
            **more,
        }
        install(Place(self.runtime.configurations, self.runtime.programs), entry, "conflist")
        assert with_plugin(self.list.read_text(), entry) == self.list.read_text()

    @contextmanager
    def agent(self, *flags: str, sentence: str = "ruleset in force") -> Iterator[Agent]:
        """A real agent on the node."""
        own = ("--run-dir", str(self.run_dir), "--listen", "", "--pod-interfaces", "veth*,cni0", *flags)
        with running(self.node, self.manifests, *own, sentence=sentence) as agent:
            yield agent

    def say(self, name: str, *, uid: str = "", address: str = "", app: str = "") -> None:
        """What the API server knows of a pod from now on."""
        write(self.manifests, f"{name}.yaml", pod_manifest(name, uid=uid, address=address, app=app))

    def sandbox(self, name: str, uid: str = "") -> Sandbox:
        """A pod whose network is still to be made."""
        number = next(self._numbers)
        return Sandbox(self.namespace(name), f"c{number:04}", f"shop/{name}", uid or f"uid-{name}")

    def start(self, sandbox: Sandbox) -> Future[dict[str, Any]]:
        """Begin to start a pod: done when its network is ready."""
        return self._threads.submit(self.runtime.start, sandbox)

    def started(self, name: str, app: str = "") -> tuple[Namespace, str]:
        """A pod that the API server has told of, started: its namespace and address."""
        self.say(name, app=app)
        sandbox = self.sandbox(name)
        return sandbox.namespace, address_of(self.start(sandbox).result())

    def reaches(self, source: Namespace, address: str) -> bool:
        """Whether a connection comes about, on its first packet."""
        [outcome] = probe_all([Probe(source, address, "tcp", PORT)], seconds=0.9)
        return outcome.result == "answered"

    def conditions(self) -> set[str]:
        """What the agent says is not as it should be."""
        state = json.loads(ask_root("/debug/state", self.run_dir / "policyd.sock")[1])
        return {condition["name"] for condition in state["conditions"]}

    def asked(self) -> list[str]:
        """Who waits for an answer."""
        return [path.name for path in (self.run_dir / "cni" / "asked").glob("*")]


def address_of(result: dict[str, Any]) -> str:
    """The IPv4 address that a result gives."""
    return str(result["ips"][0]["address"]).partition("/")[0]


@pytest.fixture(params=["ptp", "bridge"])
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bed]:
    """A node, with pods' networks as both kinds of plugins make them."""
    with ExitStack() as stack:
        yield Bed(stack, tmp_path, request.param)
