"""policyd in a cluster, put there as its users put it: the image on the nodes, `kubectl apply`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.agent.asking import ask_root
from tests.cluster.cluster import Cluster
from tests.cluster.failures import ClusterFailed, wait_until
from tests.cluster.node import CONTAINERD
from tests.cluster.policyd.image import ROOT
from tests.cluster.policyd.pods import network_of
from tests.deploy.rendering import BASE, template

#: Variants of the manifests: for networks whose packets the node sees, and for all networks.
PLAIN, AUTO = "", "-auto"
NAMESPACE = "policyd"
DAEMONSET = "daemonset/policyd"
SELECTOR = "app.kubernetes.io/name=policyd"
TABLE = ("inet", "policyd")
LISTEN = ("127.0.0.1", 9471)

ROLLOUT_SECONDS = 300
DELETE_SECONDS = 120
LOG_LINES = 40


def manifest(what: str, variant: str) -> str:
    """The file that installs policyd, or that removes it again."""
    return str(ROOT / "deploy" / f"{what}{variant}.yaml")


class Installation:
    """policyd in a cluster of ours; its image is on the nodes, whether or not it is installed."""

    def __init__(self, cluster: Cluster, archive: Path) -> None:
        self.cluster = cluster
        cluster.load_image(archive)

    def install(self, variant: str = PLAIN) -> None:
        """Do what the install page says, and wait until both agents are ready."""
        self.cluster.kubectl("apply", "--filename", manifest("install", variant))
        self.roll_out()

    def install_chart(self, **settings: object) -> None:
        """Install the chart with these settings, every node at once, and wait until both agents are ready."""
        rendered = template({"settings": settings, "maxUnavailable": "100%"})
        assert rendered.returncode == 0, rendered.stderr
        self.cluster.apply((BASE / "namespace.yaml").read_text())
        self.cluster.apply(rendered.stdout)
        self.roll_out()

    def roll_out(self, seconds: float = ROLLOUT_SECONDS) -> None:
        """Wait until the pods are those that the DaemonSet wants, and ready; say why if they are not."""
        how = ("rollout", "status", DAEMONSET, f"--timeout={seconds:.0f}s")
        result = self.cluster.kubectl("--namespace", NAMESPACE, *how, seconds=seconds + 30, check=False)
        if result.returncode != 0:
            self.cluster.check()
            raise ClusterFailed(f"policyd did not roll out: {result.stderr.strip()}\n{self.report()}")

    def uninstall(self, variant: str = PLAIN) -> None:
        """Do what the uninstall page says."""
        self.cluster.kubectl("apply", "--filename", manifest("uninstall", variant))
        self.roll_out()
        self.cluster.kubectl("delete", "--filename", manifest("install", variant), seconds=DELETE_SECONDS)

    def kubectl(self, *arguments: str, seconds: float = 60) -> str:
        """Run kubectl in policyd's namespace."""
        return self.cluster.kubectl("--namespace", NAMESPACE, *arguments, seconds=seconds).stdout

    def tag(self, image: str, new: str) -> None:
        """Give an image that the nodes have another name, as if it were another version."""
        for node in self.cluster.nodes.values():
            names = (f"docker.io/library/{image}", f"docker.io/library/{new}")
            node.run(
                "ctr", "--address", CONTAINERD, "--namespace", "k8s.io", "images", "tag", "--force", *names
            )

    def pods(self) -> dict[str, str]:
        """Give the agents' pods by node."""
        found = self.cluster.get("pods", f"--selector={SELECTOR}", namespace=NAMESPACE)["items"]
        return {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in found}

    def ask(self, node: str, path: str, port: int = LISTEN[1]) -> tuple[int, str]:
        """Ask the agent of a node, as its kubelet does, or as root on that node: status and body."""
        if path.startswith("/debug"):
            root = Path(f"/proc/{self.cluster.node(node).machine.pid}/root")
            return ask_root(path, root / "run/policyd/policyd.sock")
        with self._connection(node, port) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def state(self, node: str) -> Any:
        """Give what the agent of a node says of itself."""
        return json.loads(self.ask(node, "/debug/state")[1])

    def generation(self, node: str) -> int:
        """Give the generation in force on a node."""
        return int(self.state(node)["enforced"]["generation"])

    def wait_until_quiet(self) -> None:
        """Wait until no node brings another ruleset into force any more."""
        before: dict[str, int] = {}

        def quiet() -> bool:
            last = dict(before)
            before.update({node: self.generation(node) for node in self.cluster.nodes})
            return last == before

        wait_until(quiet, "the rulesets change again and again", seconds=60, check=self.cluster.check)

    def tables(self, node: str) -> list[tuple[str, str]]:
        """List the nftables tables of a node by family and name."""
        listing = json.loads(self.cluster.node(node).run("nft", "--json", "list", "tables").stdout)
        tables = [item["table"] for item in listing["nftables"] if "table" in item]
        return [(table["family"], table["name"]) for table in tables]

    def report(self) -> str:
        """Tell what a person wants to know when something failed: pods, their events, the agents' logs."""
        commands = (
            ("get", "pods", "--output", "wide"),
            ("get", "events", "--sort-by", ".lastTimestamp"),
            ("logs", f"--selector={SELECTOR}", "--prefix", "--all-containers", f"--tail={LOG_LINES}"),
        )
        results = [self.cluster.kubectl("--namespace", NAMESPACE, *how, check=False) for how in commands]
        return "\n".join(result.stdout + result.stderr for result in results)

    @contextmanager
    def _connection(self, node: str, port: int) -> Iterator[HTTPConnection]:
        with closing(HTTPConnection(LISTEN[0], port, timeout=10)) as connection:
            with network_of(node, self.cluster.node(node).machine) as net, net.entered():
                connection.connect()
            yield connection
