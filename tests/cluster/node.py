"""A node: a machine with containerd, kubelet and kube-proxy, whose files survive its reboots.

Every path inside a node is the usual one (/etc/cni/net.d, /opt/cni/bin, /var/lib/kubelet, /run/containerd),
so what is made for real nodes works here; all of them are private to the node.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal, TypeAlias

from tests.cluster import programs
from tests.cluster.addresses import CONTROL_PLANE, LENGTHS, NODES, PODS
from tests.cluster.cgroups import cgroup_name, make_cgroup, remove_cgroup
from tests.cluster.component import Component
from tests.cluster.control_plane import ControlPlane
from tests.cluster.failures import ClusterFailed, wait_until
from tests.cluster.machine import Machine, Result, run
from tests.cluster.requirements import CNI_PLUGINS

ProxyMode: TypeAlias = Literal["nftables", "iptables"]
Family: TypeAlias = Literal["v4", "v6"]

START_SECONDS = 30
CONTAINERD = "/run/containerd/containerd.sock"

# What outlives a reboot, by its path inside the node.
DISK = {
    "kubelet": "/var/lib/kubelet",
    "containerd": "/var/lib/containerd",
    "cni": "/var/lib/cni",
    "cni-conf": "/etc/cni/net.d",
    "cni-bin": "/opt/cni/bin",
    "policyd": "/var/lib/policyd",
}

# kubelet sets these for the whole kernel, unless they have its values already: so it is shown files that do.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


class Node:
    """One node, in the hands of a test."""

    def __init__(self, name: str, plane: ControlPlane, *, proxy: ProxyMode, primary: Family = "v4") -> None:
        self.name = name
        self.addresses = NODES[name]
        self.primary = primary  # the family of the pods' first address
        self.path = plane.path / name
        self._plane = plane
        self._disk = self.path / "disk"
        self._cgroup = f"{cgroup_name(plane.path)}/{name}"
        self.machine = Machine(name, self.path, preparation=_preparation(self._disk))
        self.containerd = self.component(
            "containerd", "containerd", "--config", str(self.path / "containerd.toml")
        )
        self.kubelet = self.component("kubelet", *self._kubelet_command())
        self.proxy = self.component(
            "kube-proxy", programs.program("kube-proxy"), "--config", str(self.path / "proxy.json")
        )
        self.proxy_mode = proxy
        self.agents: list[Component] = []  # of the pods' network

    def component(self, name: str, *command: str, env: dict[str, str] | None = None) -> Component:
        """Make a component that runs on this node."""
        log = self._plane.path / f"{self.name}-{name}.log"
        return Component(self.machine, f"{name} on {self.name}", command, log, env=env or {})

    def components(self) -> tuple[Component, ...]:
        """List the components that must be running, or were stopped on purpose."""
        return (self.containerd, self.kubelet, self.proxy, *self.agents)

    def run(self, *command: str, stdin: str = "", seconds: float = 60, check: bool = True) -> Result:
        """Run a command in the node's namespaces."""
        return self.machine.run(*command, stdin=stdin, seconds=seconds, check=check)

    def install(self) -> None:
        """Write the node's disk: its configuration and the CNI plugins."""
        for folder in DISK:
            (self._disk / folder).mkdir(parents=True)
        plugins = [*CNI_PLUGINS.iterdir()]
        for part in ("flannel", "cilium"):
            if programs.built(part):
                plugins += (programs.folder(part) / "cni").iterdir()
        for plugin in plugins:
            shutil.copy(plugin, self._disk / "cni-bin" / plugin.name)
        self.sign()
        (self.path / "containerd.toml").write_text(_containerd_settings())
        (self.path / "kubelet.json").write_text(json.dumps(self._kubelet_settings()))
        (self.path / "proxy.json").write_text(json.dumps(self._proxy_settings()))

    def sign(self) -> None:
        """Sign what the node identifies itself with."""
        authority = self._plane.authority
        addresses = (self.addresses.v4, self.addresses.v6)
        subject = f"/O=system:nodes/CN=system:node:{self.name}"
        authority.sign(self.name, subject, addresses=addresses, hosts=(self.name,))
        authority.write_access(self.name, self._plane.inner_server)

    def write_network(self, name: str, settings: dict[str, object]) -> None:
        """Write the configuration of the pods' network where containerd looks for it."""
        (self._disk / "cni-conf" / name).write_text(json.dumps(settings))

    def boot(self) -> None:
        """Start the machine, plug it in, and start containerd."""
        make_cgroup(self._cgroup)
        self.machine.start()
        self._plug_in()
        self.containerd.start()
        ready = ("ctr", "--address", CONTAINERD, "version")
        wait_until(
            lambda: self.run(*ready, check=False).returncode == 0,
            f"containerd on {self.name} does not answer",
            seconds=START_SECONDS,
            check=self.containerd.check,
        )

    def power_off(self) -> None:
        """End the machine as a power cut does: pods, rules and interfaces are gone, the disk stays."""
        # The namespace goes a moment after its processes, and the next boot needs the name of its cable now.
        self._plane.machine.run("ip", "link", "delete", self.name, check=False)
        self.machine.end()
        for component in self.components():
            component.forget()
        remove_cgroup(self._cgroup)

    def load_image(self, archive: Path) -> None:
        """Import a docker-archive or OCI archive, which must not lie below /run."""
        import_ = ("ctr", "--address", CONTAINERD, "--namespace", "k8s.io", "images", "import")
        self.run(*import_, str(archive.resolve()), seconds=120)

    def _plug_in(self) -> None:
        """Connect the machine to the control plane's switch."""
        wire = ("ip", "link", "add", self.name, "netns", str(self._plane.machine.pid), "type", "veth")
        result = run((*wire, "peer", "name", "eth0", "netns", str(self.machine.pid)), seconds=10)
        if result.returncode != 0:
            raise ClusterFailed(f"the node {self.name} cannot be plugged in: {result.stderr.strip()}")
        self._plane.machine.run("ip", "link", "set", self.name, "master", "lan", "up")
        self.run(
            "ip",
            "-batch",
            "-",
            stdin=f"""
            link set eth0 up
            address add {self.addresses.v4}/{LENGTHS.v4} dev eth0
            address add {self.addresses.v6}/{LENGTHS.v6} dev eth0 nodad
            route add default via {CONTROL_PLANE.v4}
            route add default via {CONTROL_PLANE.v6}
        """,
        )

    def _kubelet_command(self) -> tuple[str, ...]:
        addresses = [self.addresses.v4, self.addresses.v6]
        if self.primary == "v6":
            addresses.reverse()
        options = {
            "config": self.path / "kubelet.json",
            "kubeconfig": self._plane.authority.file(f"{self.name}.conf"),
            "hostname-override": self.name,
            "node-ip": ",".join(addresses),
        }
        return (programs.program("kubelet"), *(f"--{name}={value}" for name, value in options.items()))

    def _kubelet_settings(self) -> dict[str, object]:
        file = self._plane.authority.file
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(file("ca.crt"))},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(file(f"{self.name}.crt")),
            "tlsPrivateKeyFile": str(file(f"{self.name}.key")),
            "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
            "clusterDNS": ["10.96.0.10"],  # nobody answers there; without an address every pod gets a warning
            "clusterDomain": "cluster.local",
            # The machine's processors, memory and disk are shared with whatever else runs on it: kubelet must
            # not divide them up, nor evict pods or images that cannot be pulled again because a disk is full.
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "evictionHard": {"memory.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "failSwapOn": False,
            "failCgroupV1": False,
        }

    def _proxy_settings(self) -> dict[str, object]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": self.proxy_mode,
            "hostnameOverride": self.name,
            "clientConnection": {"kubeconfig": str(self._plane.authority.file("admin.conf"))},
            # Without it kube-proxy judges by interface what comes from a pod, and where that does not fit the
            # network it masquerades pods: every policy would see the node's address.
            "clusterCIDR": f"{PODS.v4},{PODS.v6}",
            "conntrack": {"maxPerCore": 0},  # a setting of the whole kernel
        }


def _preparation(disk: Path) -> str:
    """Write the shell lines that give a machine its own file system where a node writes."""
    overlays = "\n".join(
        f"mkdir -p /run/.own/{name} /run/.work/{name}; mount -t overlay -o "
        f"lowerdir=/{name},upperdir=/run/.own/{name},workdir=/run/.work/{name} overlay /{name}"
        for name in ("etc", "opt", "var/lib", "var/log")
    )
    disks = "\n".join(f"mkdir -p {inner}; mount --bind {disk}/{name} {inner}" for name, inner in DISK.items())
    settings = "\n".join(
        f"mkdir -p $(dirname /run/.settings/{name}); echo {value} >/run/.settings/{name}; "
        f"mount --bind /run/.settings/{name} /proc/sys/{name}"
        for name, value in KERNEL_SETTINGS.items()
    )
    return f"""
mount --make-rshared /
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock
{overlays}
{disks}
{settings}
"""


def _containerd_settings() -> str:
    return f"""
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{programs.PAUSE}"
restrict_oom_score_adj = true  # root in a container may not lower its score
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
"""
