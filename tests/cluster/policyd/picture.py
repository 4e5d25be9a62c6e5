"""The picture of the README: installing policyd on a real cluster, a policy, and whom it lets through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from policyd.errors import PolicydError
from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.cluster.failures import ClusterFailed
from tests.cluster.policyd.image import ROOT, image_archive
from tests.cluster.policyd.pods import Place, pod
from tests.cluster.policyd.terminal import Command, draw

PICTURE = ROOT / "docs" / "picture.svg"
TITLE = "A terminal: policyd is installed, a policy is applied, and only the client still reaches the shop."
REACHED = "reached"
PODS = {
    "shop": Place("n1", {"app": "shop"}),
    "client": Place("n2", {"role": "client"}),
    "stranger": Place("n2", {"role": "stranger"}),
}
POLICY = """
kubectl apply --filename - <<POLICY
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-clients}
spec:
  podSelector: {matchLabels: {app: shop}}
  ingress: [{from: [{podSelector: {matchLabels: {role: client}}}], ports: [{port: 8080}]}]
POLICY
""".strip()
COMMAND_SECONDS = 300


def record(cluster: Cluster) -> list[Command]:
    """Do it all, and give what was typed and printed."""
    cluster.apply(*(_serving(name, place, cluster.agnhost) for name, place in PODS.items()))
    cluster.wait(*(f"pod/{name}" for name in PODS))
    address = cluster.get("pod", "shop")["status"]["podIP"]

    def reach(source: str) -> str:
        return f"kubectl exec {source} -- /agnhost connect {address}:8080 --timeout=1s && echo {REACHED}"

    typed = (
        "kubectl apply --filename deploy/install.yaml",
        "kubectl --namespace policyd rollout status daemonset/policyd",
        reach("stranger"),
        POLICY,
        reach("client"),
        reach("stranger"),
    )
    return [_run(cluster, command) for command in typed]


def main() -> int:
    """Bring up a cluster, record the session in it, and write the picture."""
    try:
        with Cluster.up() as cluster:
            cluster.load_image(image_archive())
            commands = record(cluster)
    except PolicydError as error:
        sys.stderr.write(f"policyd: {error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    *_, before, _, by_client, by_stranger = commands
    if [before.status, by_client.status, by_stranger.status] != [0, 0, 1]:
        sys.stderr.write(f"policyd: the session is not what the picture shall show: {commands}\n")
        return 1
    PICTURE.write_text(draw(TITLE, commands, {REACHED}))
    return 0


def _serving(name: str, place: Place, image: str) -> dict[str, object]:
    manifest = dict(pod(name, "default", place, image))
    container = {"name": "server", "image": image, "args": ["netexec", "--http-port=8080"]}
    spec = {"nodeName": place.node, "containers": [container], "terminationGracePeriodSeconds": 0}
    return {**manifest, "spec": spec}


def _run(cluster: Cluster, typed: str) -> Command:
    kubectl = Path(programs.program("kubectl")).parent
    try:
        result = subprocess.run(
            ["bash", "-c", typed],
            cwd=ROOT,
            env={
                **os.environ,
                "KUBECONFIG": str(cluster.kubeconfig),
                "PATH": f"{kubectl}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterFailed(f"`{typed}` did not end within {COMMAND_SECONDS} s") from error
    return Command(typed, result.stdout, result.returncode)


if __name__ == "__main__":
    sys.exit(main())
