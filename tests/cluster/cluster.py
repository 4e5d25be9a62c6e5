"""A real Kubernetes of two nodes on this machine, in the hands of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from policyd.errors import WrongUsage
from tests.cluster import network as networks
from tests.cluster import programs
from tests.cluster.addresses import NODES, PODS, SERVICES
from tests.cluster.client import Client
from tests.cluster.component import Component
from tests.cluster.conformance import (
    HOUSE,
    NO_TEST,
    SECONDS,
    Conformance,
    Implementation,
    run_conformance,
    write_probe_image,
)
from tests.cluster.control_plane import ControlPlane
from tests.cluster.cyclonus import NAMESPACES as CYCLONUS_NAMESPACES
from tests.cluster.cyclonus import CyclonusReport, run_cyclonus, write_worker_image
from tests.cluster.e2e import SKIP, E2eReport, run_e2e
from tests.cluster.failures import wait_until
from tests.cluster.folder import RunFolder
from tests.cluster.node import Family, Node, ProxyMode
from tests.cluster.requirements import require

NODE_SECONDS = 120


class Cluster(Client):
    """Two nodes, a control plane, and all of Kubernetes between them."""

    def __init__(
        self, path: Path, *, network: networks.Name, proxy: ProxyMode, primary: Family = "v4"
    ) -> None:
        super().__init__(path / "kubeconfig", agnhost=programs.agnhost())
        self.network = network
        self.plane = ControlPlane(path)
        self.controllers = self._controller("kube-controller-manager", *self._controllers_options())
        self.scheduler = self._controller("kube-scheduler")
        self.nodes = {name: Node(name, self.plane, proxy=proxy, primary=primary) for name in NODES}
        self._stack, self._has_proxy = ExitStack(), True
        self._settle: float | None = None

    @classmethod
    def up(
        cls,
        *,
        network: networks.Name = "flannel",
        proxy: ProxyMode = "nftables",
        way: networks.CiliumWay = "ebpf",
        primary: Family = "v4",
    ) -> Self:
        """Bring up a cluster and wait until its nodes are ready.

        `way` is for Cilium: how packets get from pod to pod; `replacing` has no kube-proxy.
        `primary` is the family of a pod's first address.
        """
        if way != "ebpf" and network != "cilium":
            raise WrongUsage(f"`{way}` is a way of Cilium's, and the network is {network}")
        parts = networks.parts(network)
        require(*parts)
        programs.require(*parts)
        run = RunFolder.create()
        cluster = cls(run.path, network=network, proxy=proxy, primary=primary)
        cluster._stack.callback(run.remove)
        cluster._stack.callback(cluster._end)
        try:
            cluster._start(way)
        except BaseException:
            cluster.down()
            raise
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def down(self) -> None:
        """End everything and remove every file."""
        self._stack.close()

    def node(self, name: str) -> Node:
        """Give a node by its name, n1 or n2."""
        return self.nodes[name]

    def check(self) -> None:
        """Raise if a component ended by itself."""
        self.plane.check()
        for component in self._components():
            component.check()

    def load_image(self, archive: Path) -> None:
        """Import a docker-archive or OCI archive into both nodes."""
        self._on_all(lambda node: node.load_image(archive))

    def reboot(self, name: str) -> None:
        """Cut a node's power and boot it; give back when none of its pods runs in an old container."""
        node = self.node(name)
        old = self._running_containers(name)
        node.power_off()
        node.boot()
        node.kubelet.start()
        self._connect(node)
        wait_until(
            lambda: not old & self._running_containers(name),
            f"the pods of {name} were not started again after its reboot",
            seconds=NODE_SECONDS,
            check=self.check,
        )

    def replace_certificates(self) -> None:
        """Restart all but the pods with certificates of a new authority."""
        with self._all_restarted():
            self.plane.replace_certificates()
            self._sign()

    def restore(self, backup: Path, *, bump_revision: int = 0) -> None:
        """Restore a backup of etcd and restart all but the pods, as the Kubernetes manual wants it done."""
        with self._all_restarted():
            self.plane.restore(backup, bump_revision=bump_revision)

    def e2e(self, focus: str, *, procs: int = 4, skip: str = SKIP, seconds: float = 5400) -> E2eReport:
        """Run upstream's e2e tests whose names match the regular expression `focus`, and not `skip`."""
        report = run_e2e(self.plane, focus, procs=procs, skip=skip, seconds=seconds)
        self.check()
        return report

    def cyclonus(
        self,
        tests: str = ".",
        *,
        services: bool = False,
        baseline: bool = False,
        sctp: bool = True,
        seconds: float = 5400,
    ) -> CyclonusReport:
        """Run Cyclonus' tests whose names match the regular expression; its pods are gone afterwards.

        With `services` a probe goes to the address of a pod's Service. With `baseline` Cyclonus expects what
        a ClusterNetworkPolicy of the Baseline tier does that denies everything. Without `sctp` the tests of
        that are left out, for a network that does not carry it.
        """
        archive = self.plane.path / "worker.tar"
        write_worker_image(archive)
        self.load_image(archive)
        try:
            return run_cyclonus(
                self.plane, tests, services=services, baseline=baseline, sctp=sctp, seconds=seconds
            )
        finally:
            self.delete("namespaces", *CYCLONUS_NAMESPACES, "--ignore-not-found", seconds=180)
            self.check()

    def conformance(
        self,
        tests: str = ".",
        *,
        settle: float = 0,
        keep: bool = False,
        report: tuple[Path, Implementation] | None = None,
        seconds: float = SECONDS,
    ) -> Conformance:
        """Run upstream's conformance tests of ClusterNetworkPolicy whose names match a regular expression.

        Each probe waits `settle` seconds first. With `keep` the suite's pods stay, for the next run. A report
        is of use only for all tests: it counts those that were left out as passed.
        """
        if settle != self._settle:
            archive = self.plane.path / "probe.tar"
            write_probe_image(archive, settle=settle)
            self.load_image(archive)
            self.delete("namespaces", f"--selector={HOUSE}", seconds=180)  # pods of the image before
            self._settle = settle
        found = run_conformance(self.plane, tests, keep=keep, report=report, seconds=seconds)
        if not keep:
            self.delete("namespaces", f"--selector={HOUSE}", seconds=180)  # until they are gone
        self.check()
        return found

    def prepare_conformance(self, *, settle: float = 0) -> None:
        """Make the suite's namespaces and pods, and run none of its tests."""
        self.conformance(NO_TEST, settle=settle, keep=True)

    @contextmanager
    def _all_restarted(self) -> Iterator[None]:
        """Stop what talks to the API server, and start it again afterwards; containerd keeps the pods."""
        stopped = [component for component in self._components() if component.running]
        for node in self.nodes.values():
            stopped.remove(node.containerd)
        for component in stopped:
            component.stop()
        yield
        for component in stopped:
            component.start()
        self._wait_for_nodes()

    def _start(self, way: networks.CiliumWay) -> None:
        self.plane.start()
        self._sign()
        with ThreadPoolExecutor() as pool:
            boots = [pool.submit(self._boot, node) for node in self.nodes.values()]
            self.plane.wait_until_ready()
            for component in (self.controllers, self.scheduler):
                component.start()
            for boot in boots:
                boot.result()
        self._has_proxy = way != "replacing"
        networks.prepare(self.network, self.plane, self.nodes.values(), way)
        for node in self.nodes.values():
            node.kubelet.start()
        self._on_all(self._connect)
        self._wait_for_nodes()
        wait_until(self._has_service_account, "no service account", seconds=NODE_SECONDS, check=self.check)

    def _boot(self, node: Node) -> None:
        node.install()
        node.boot()
        node.load_image(programs.folder("nodes") / programs.AGNHOST_ARCHIVE)

    def _connect(self, node: Node) -> None:
        """Start what needs the node's object: kube-proxy, and the pods' network."""
        known = ("get", "node", node.name, "--output", "jsonpath={.spec.podCIDRs}")
        wait_until(
            lambda: ":" in self.kubectl(*known, check=False).stdout,
            f"the node {node.name} got no ranges for its pods",
            seconds=NODE_SECONDS,
            check=self.check,
        )
        if self._has_proxy:
            node.proxy.start()
        networks.connect(self.network, self.plane, node, self.nodes.values())

    def _wait_for_nodes(self) -> None:
        self.wait(*(f"node/{name}" for name in self.nodes), seconds=NODE_SECONDS)

    def _has_service_account(self) -> bool:
        return self.kubectl("get", "serviceaccount", "default", check=False).returncode == 0

    def _running_containers(self, node: str) -> set[str]:
        pods = self.get("pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}")["items"]
        statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", ())]
        return {status["containerID"] for status in statuses if "running" in status["state"]}

    def _on_all(self, action: Callable[[Node], None]) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(action, self.nodes.values()))

    def _end(self) -> None:
        for node in self.nodes.values():
            node.machine.end()
        self.plane.end()
        for component in self._components():
            component.forget()

    def _components(self) -> tuple[Component, ...]:
        of_nodes = (component for node in self.nodes.values() for component in node.components())
        return (self.controllers, self.scheduler, *of_nodes)

    def _sign(self) -> None:
        for component in (self.controllers, self.scheduler):
            self.plane.authority.sign(component.name, f"/O=system:masters/CN={component.name}")
            self.plane.authority.write_access(component.name, self.plane.inner_server)
        for node in self.nodes.values():
            node.sign()

    def _controller(self, name: str, *options: str) -> Component:
        access = ("--kubeconfig", str(self.plane.authority.file(f"{name}.conf")), "--leader-elect=false")
        command = (programs.program(name), *access, *options)
        return Component(self.plane.machine, name, command, self.plane.path / f"{name}.log")

    def _controllers_options(self) -> tuple[str, ...]:
        file = self.plane.authority.file
        options = {
            "root-ca-file": file("ca.crt"),
            "service-account-private-key-file": file("sa.key"),
            "allocate-node-cidrs": "true",
            "cluster-cidr": f"{PODS.v4},{PODS.v6}",
            "node-cidr-mask-size-ipv6": 64,
            "service-cluster-ip-range": f"{SERVICES.v4},{SERVICES.v6}",
        }
        return tuple(f"--{name}={value}" for name, value in options.items())
