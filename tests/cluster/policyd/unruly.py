"""What keeps to no rule: agents without a kubelet, changes at random, pods that nobody knows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.client import Manifest
from tests.cluster.node import CONTAINERD, Node
from tests.cluster.policyd.api import Api, opened_api
from tests.cluster.policyd.day import ALLOWED, DENIED, WEB, Day, selecting
from tests.cluster.policyd.installation import NAMESPACE, Installation
from tests.cluster.policyd.pods import OpenedNamespace, Place, policy

#: Until it is ready, an agent takes 2 s, and more on a machine with other work.
START_SECONDS, READY_SECONDS = 3.0, 30.0
WORK_SECONDS = 1.0
PROGRAM = "/opt/policyd/bin/policyd"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
#: What `ctr run` gives, and install.yaml does not.
CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP"),
    *("SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
)


class LooseAgent:
    """The agent's container as the DaemonSet describes it, run by containerd: no kubelet, no back-off."""

    def __init__(self, installation: Installation, node: Node) -> None:
        self.node = node
        self._installation = installation
        self._count = 0
        pod = installation.cluster.get("daemonset", "policyd", namespace=NAMESPACE)["spec"]["template"][
            "spec"
        ]
        (self._container,) = pod["containers"]
        self._paths = {
            volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume
        }
        self._account = node.path / "account"
        self._account.mkdir()
        token = installation.kubectl("create", "token", "policyd", "--duration", "1h")
        authority = installation.cluster.plane.authority.file("ca.crt").read_text()
        for name, text in (("token", token), ("ca.crt", authority), ("namespace", NAMESPACE)):
            (self._account / name).write_text(text)

    def start(self) -> None:
        """Start the container."""
        self._count += 1
        self._ctr(
            *("run", "--detach", "--net-host", "--read-only", "--seccomp"),
            *("--cgroup", f"/{self.node._cgroup}/{self._name}"),
            *("--log-uri", f"file://{self.node.path}/{self._name}.log"),
            *(option for name in CAPABILITIES for option in ("--cap-drop", f"CAP_{name}")),
            *("--cap-add", "CAP_NET_ADMIN"),
            *(option for mount in self._mounts() for option in ("--mount", mount)),
            *(option for setting in self._environment() for option in ("--env", setting)),
            *(f"docker.io/library/{self._container['image']}", self._name, PROGRAM, *self._container["args"]),
        )

    def kill(self) -> None:
        """Kill it at once with SIGKILL, and remove what is left."""
        self._ctr("tasks", "delete", "--force", self._name)
        self._ctr("containers", "delete", self._name)

    def told(self) -> str:
        """Give what the agent says of its readiness; nothing while nobody answers."""
        with suppress(OSError, HTTPException):
            return self._installation.ask(self.node.name, "/readyz")[1]
        return ""

    def becomes_ready(self) -> bool:
        """Wait until the agent says that it enforces what the cluster says; False if it does not in time."""
        deadline = time.monotonic() + READY_SECONDS
        while self.told() != "ok\n" and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.told() == "ok\n"

    @property
    def _name(self) -> str:
        return f"agent-{self._count}"

    def _mounts(self) -> Iterator[str]:
        yield f"type=bind,src={self._account},dst={ACCOUNT},options=rbind:ro"
        for mount in self._container["volumeMounts"]:
            how = "ro" if mount.get("readOnly") else "rw"
            self.node.run("mkdir", "-p", self._paths[mount["name"]])
            yield f"type=bind,src={self._paths[mount['name']]},dst={mount['mountPath']},options=rbind:{how}"

    def _environment(self) -> Iterator[str]:
        yield "KUBERNETES_SERVICE_HOST=10.96.0.1"
        yield "KUBERNETES_SERVICE_PORT=443"
        for variable in self._container["env"]:
            yield f"{variable['name']}={variable.get('value', self.node.name)}"

    def _ctr(self, *arguments: str) -> None:
        self.node.run("ctr", "--address", CONTAINERD, "--namespace", "k8s.io", *arguments)


class Churn:
    """Changes labels and policies without end; but friends reach the web all the time, and foes never."""

    def __init__(self, day: Day, seed: int) -> None:
        self.changes = 0
        self._day = day
        self._random = random.Random(seed)
        self._crowd = day.pods.namespace("crowd")
        self._pods: list[Manifest] = []
        for namespace in (day.namespace, self._crowd):
            for pod in day.pods.start(namespace, {"spare-n1": Place("n1"), "spare-n2": Place("n2")}).values():
                metadata = {"name": pod.name, "namespace": namespace}
                self._pods.append({"kind": "Pod", "metadata": metadata})
        self._policies: dict[str, Manifest] = {}
        self._error: Exception | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="churn")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        changes = (self._label_pod, self._label_pod, self._label_namespace, self._change_policy)
        try:
            with opened_api(self._day.cluster.plane) as api:
                while not self._stopped.wait(self._random.uniform(0.01, 0.2)):
                    self._random.choice(changes)(api)
                    self.changes += 1
        except Exception as error:  # noqa: BLE001 (raised again where the test is)
            self._error = error

    def _label_pod(self, api: Api) -> None:
        labels = {
            "role": self._random.choice([ALLOWED, DENIED, WEB, None]),
            "color": self._random.choice(["red", "blue", None]),
        }
        api.patch(self._random.choice(self._pods), {"metadata": {"labels": labels}})

    def _label_namespace(self, api: Api) -> None:
        crowd = {"kind": "Namespace", "metadata": {"name": self._crowd}}
        api.patch(crowd, {"metadata": {"labels": {"team": self._random.choice(["a", "b", None])}}})

    def _change_policy(self, api: Api) -> None:
        name = f"churn-{self._random.randrange(6)}"
        if name in self._policies:
            api.delete(self._policies.pop(name))
        else:
            self._policies[name] = policy(name, self._day.namespace, **self._random.choice(self._specs()))
            api.create(self._policies[name])

    def _specs(self) -> Sequence[dict[str, object]]:
        """Policies under which friends reach the web and foes do not, whatever else they say."""
        color = {"podSelector": {"matchLabels": {"color": self._random.choice(["red", "blue"])}}}
        team = {"namespaceSelector": {"matchLabels": {"team": self._random.choice(["a", "b"])}}}
        third = self._random.randrange(1, 255)
        block = {"ipBlock": {"cidr": f"198.18.{third}.0/24", "except": [f"198.18.{third}.128/25"]}}
        to_web = {**selecting(WEB), "policyTypes": ["Ingress"]}
        return (
            {**to_web, "ingress": [{"from": [color]}]},
            {**to_web, "ingress": [{"from": [team]}, {"ports": [{"port": 443}]}]},
            {**to_web, "ingress": [{"from": [block, color]}]},
            {**selecting(ALLOWED), "policyTypes": ["Egress"], "egress": [{"to": [selecting(WEB)]}]},
            {**selecting(DENIED), "policyTypes": ["Egress"], "egress": [{"to": [block, selecting(WEB)]}]},
            {**color, "policyTypes": ["Ingress", "Egress"]},
        )


def killed_again_and_again(agent: LooseAgent, times: int, seed: int) -> int:
    """Start and kill an agent at random moments, half of them at work; give how many were."""
    chance = random.Random(seed)
    worked = 0
    for number in range(times):
        agent.start()
        if number % 2:
            worked += agent.becomes_ready()
            time.sleep(chance.uniform(0.0, WORK_SECONDS))
        else:
            time.sleep(chance.uniform(0.0, START_SECONDS))
        agent.kill()
    return worked


@contextmanager
def strangers(node: Node) -> Iterator[tuple[OpenedNamespace, OpenedNamespace, str]]:
    """Two pods on a node of which no API server has ever heard, and the address of the second."""
    gateway, names = "10.244.99.1", ("odd", "even")
    for number, name in enumerate(names, start=2):
        address = f"10.244.99.{number}"
        script = f"""
            link add veth{name} type veth peer name eth0 netns {name}
            address add {gateway}/32 dev veth{name}
            link set veth{name} up
            route add {address}/32 dev veth{name}
        """
        inner = f"""
            link set lo up
            address add {address}/32 dev eth0
            link set eth0 up
            route add {gateway} dev eth0
            route add default via {gateway}
        """
        node.run("ip", "netns", "add", name)
        node.run("ip", "-batch", "-", stdin=script)
        node.run("ip", "-netns", name, "-batch", "-", stdin=inner)
    found = [OpenedNamespace(name, f"/proc/{node.machine.pid}/root/run/netns/{name}") for name in names]
    try:
        yield found[0], found[1], "10.244.99.3"
    finally:
        for name, opened in zip(names, found, strict=True):
            opened.close()
            node.run("ip", "netns", "delete", name)


def tasks(node: Node) -> set[str]:
    """Name the containers that run on a node."""
    listing = ("ctr", "--address", CONTAINERD, "--namespace", "k8s.io", "tasks", "list", "--quiet")
    return set(node.run(*listing).stdout.split())


def saved_ruleset(node: Node) -> Path:
    """Give the path of what the agent of a node has saved on its disk."""
    return node.path / "disk" / "policyd" / "policyd.nft"
