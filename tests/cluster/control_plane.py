"""A control plane without nodes: etcd and kube-apiserver on a machine of their own.

What tests of the API need: objects, watches, and everything that can happen to those, from a restart with
other certificates to a restored backup. Pods are only objects here, since no node runs them.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import addresses, programs
from tests.cluster.addresses import API_PORT, CONTROL_PLANE, LENGTHS, SERVICES
from tests.cluster.certificates import Authority
from tests.cluster.client import Client
from tests.cluster.component import Component
from tests.cluster.failures import ClusterFailed, wait_until
from tests.cluster.folder import RunFolder
from tests.cluster.machine import Machine
from tests.cluster.requirements import require

READY_SECONDS = 60
ETCD_URL = "http://127.0.0.1:2379"

# The bridge joins the nodes as a switch does. Where the kernel shows bridged packets to netfilter, that is
# switched off: a switch has no connection tracking.
PREPARATION = f"""
ip link add lan type bridge
ip link set lan up
ip addr add {CONTROL_PLANE.v4}/{LENGTHS.v4} dev lan
ip addr add {CONTROL_PLANE.v6}/{LENGTHS.v6} dev lan nodad
for filter in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e "$filter" ] || echo 0 >"$filter"; done
"""


class ControlPlane(Client):
    """etcd and kube-apiserver, reached from the test host through `server` and `kubeconfig`."""

    def __init__(self, path: Path, *, flags: tuple[str, ...] = ()) -> None:
        super().__init__(path / "kubeconfig", agnhost="")  # there is no node that could run it
        self.path = path
        self.authority = Authority(path / "pki")
        self.machine = Machine("cp", path / "cp", preparation=PREPARATION)
        self.etcd = self._component("etcd", *self._etcd_command())
        self.apiserver = self._component("kube-apiserver", *self._apiserver_command(flags))
        self._listener = socket.create_server(("127.0.0.1", 0))  # a port that the kernel chooses
        self.server = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.door = self._component("door", *self._door_command(), inherit=self._listener)
        self._stack = ExitStack()

    @classmethod
    def up(cls, *, flags: tuple[str, ...] = ()) -> Self:
        """Start a control plane and wait until it answers; `flags` go to kube-apiserver."""
        require("control-plane")
        programs.require("control-plane")
        run = RunFolder.create()
        # Nobody makes service accounts here, and without them a pod is refused.
        plane = cls(run.path, flags=("--disable-admission-plugins", "ServiceAccount", *flags))
        plane._stack.callback(run.remove)
        plane._stack.callback(plane.end)
        try:
            plane.start()
            plane.wait_until_ready()
        except BaseException:
            plane.down()
            raise
        return plane

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def down(self) -> None:
        """End everything and remove every file."""
        self._stack.close()

    def start(self) -> None:
        """Start the machine and its components; the API server answers some seconds later."""
        self.machine.start()
        self.authority.make()
        self.authority.make_service_account_key()
        self.sign()
        for component in self.components():
            component.start()

    def end(self) -> None:
        """End the machine, and with it every component."""
        self.machine.end()
        for component in self.components():
            component.forget()
        self._listener.close()

    def components(self) -> tuple[Component, ...]:
        """List the components that must be running, or were stopped on purpose."""
        return (self.etcd, self.apiserver, self.door)

    def check(self) -> None:
        """Raise if a component ended by itself."""
        for component in self.components():
            component.check()

    def wait_until_ready(self) -> None:
        """Wait until the API server says that it is ready."""
        wait_until(self.ready, "kube-apiserver is not ready", seconds=READY_SECONDS, check=self.check)

    def ready(self) -> bool:
        """Tell whether the API server says that it is ready."""
        return self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0

    def replace_certificates(self) -> None:
        """Restart the API server with certificates of a new authority, and write `kubeconfig` again."""
        self.apiserver.stop()
        self.authority.make()
        self.sign()
        self.apiserver.start()
        self.wait_until_ready()

    def revision(self) -> int:
        """Give etcd's newest revision, which is the newest resource version of the API server."""
        status = json.loads(self._etcdctl("endpoint", "status", "--write-out", "json"))
        return int(status[0]["Status"]["header"]["revision"])

    def compact(self) -> int:
        """Make etcd forget all revisions but the newest, and give that.

        The API server serves watches from its own memory: only after its restart is an old version refused.
        """
        revision = self.revision()
        self._etcdctl("compact", str(revision))
        return revision

    def snapshot(self) -> Path:
        """Write a backup of etcd, as an administrator does, and give its path."""
        backup = self.path / f"backup-{self.revision()}.db"
        self._etcdctl("snapshot", "save", str(backup))
        return backup

    def restore(self, backup: Path, *, bump_revision: int = 0) -> None:
        """Restore a backup of etcd; with `bump_revision` versions jump forward instead of back in time."""
        self.apiserver.stop()
        self.etcd.stop()
        shutil.rmtree(self._etcd_folder)
        bump = ("--bump-revision", str(bump_revision), "--mark-compacted") if bump_revision else ()
        etcdutl = programs.program("etcdutl")
        self.machine.run(
            etcdutl, "snapshot", "restore", str(backup), "--data-dir", str(self._etcd_folder), *bump
        )
        self.etcd.start()
        self.apiserver.start()
        self.wait_until_ready()

    def sign(self) -> None:
        """Sign what the components and the test host identify themselves with."""
        serving = (CONTROL_PLANE.v4, CONTROL_PLANE.v6, addresses.API_SERVICE, "127.0.0.1")
        hosts = ("kubernetes.default.svc", "localhost")
        self.authority.sign("apiserver", "/CN=kube-apiserver", addresses=serving, hosts=hosts)
        self.authority.sign("admin", "/O=system:masters/CN=admin")
        self.authority.write_access("admin", self.inner_server)
        self.authority.write_access("admin", self.server, self.kubeconfig)

    @property
    def inner_server(self) -> str:
        """Give the API server's address as the machines know it."""
        return f"https://{CONTROL_PLANE.v4}:{API_PORT}"

    @property
    def _etcd_folder(self) -> Path:
        return self.path / "etcd"

    def _component(self, name: str, *command: str, inherit: socket.socket | None = None) -> Component:
        return Component(self.machine, name, command, self.path / f"{name}.log", inherit=inherit)

    def _door_command(self) -> tuple[str, ...]:
        forward = str(Path(__file__).with_name("forward.py"))
        number = str(self._listener.fileno())
        return (sys.executable, "-I", forward, number, CONTROL_PLANE.v4, str(API_PORT))

    def _etcd_command(self) -> tuple[str, ...]:
        # A test's data need not survive a power cut, and disks are slow.
        folder = ("--data-dir", str(self._etcd_folder), "--unsafe-no-fsync", "--log-level", "warn")
        return (programs.program("etcd"), *folder)

    def _apiserver_command(self, flags: tuple[str, ...]) -> tuple[str, ...]:
        file = self.authority.file
        options = {
            "etcd-servers": ETCD_URL,
            "advertise-address": CONTROL_PLANE.v4,
            "secure-port": API_PORT,
            "allow-privileged": "true",
            "authorization-mode": "Node,RBAC",
            "tls-cert-file": file("apiserver.crt"),
            "tls-private-key-file": file("apiserver.key"),
            "client-ca-file": file("ca.crt"),
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": file("sa.pub"),
            "service-account-signing-key-file": file("sa.key"),
            "service-cluster-ip-range": f"{SERVICES.v4},{SERVICES.v6}",
            # exec and logs go to nodes, whose names nobody resolves here
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-client-certificate": file("admin.crt"),
            "kubelet-client-key": file("admin.key"),
        }
        own = (f"--{name}={value}" for name, value in options.items())
        return (programs.program("kube-apiserver"), *own, *flags)

    def _etcdctl(self, *arguments: str) -> str:
        result = self.machine.run(
            programs.program("etcdctl"), "--endpoints", ETCD_URL, *arguments, check=False
        )
        if result.returncode != 0:
            self.check()
            raise ClusterFailed(f"`etcdctl {' '.join(arguments)}` failed: {result.stderr.strip()}")
        return result.stdout
