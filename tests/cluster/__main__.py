"""The commands of the test cluster: `python -m tests.cluster build|up|down|measure`."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import get_args

from policyd.errors import PolicydError
from tests.cluster import folder, programs, requirements
from tests.cluster.cluster import Cluster
from tests.cluster.measure import measure as measurements
from tests.cluster.network import CiliumWay, Name
from tests.cluster.node import ProxyMode
from tests.cluster.requirements import Part

PARTS: tuple[Part, ...] = get_args(Part)
CHECK_SECONDS = 1


def build(arguments: argparse.Namespace) -> None:
    """Install the Debian packages that the parts need, and build their programs."""
    parts: list[Part] = arguments.parts
    requirements.install(*parts)
    programs.build(*parts)


def up(arguments: argparse.Namespace) -> None:
    """Bring up a cluster, say how to use it, and remove it on Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.stderr.write(f"policyd: bringing up a cluster on {arguments.network}\n")
    with Cluster.up(network=arguments.network, proxy=arguments.proxy, way=arguments.way) as cluster:
        for archive in arguments.image:
            cluster.load_image(archive)
        sys.stdout.write(_usage(cluster))
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):  # the way in which it is meant to end
            while True:
                cluster.check()
                time.sleep(CHECK_SECONDS)


def down(_: argparse.Namespace) -> None:
    """Remove what dead runs left, and say which runs live."""
    for path in folder.sweep():
        sys.stdout.write(f"removed {path}\n")
    for path in folder.runs():
        sys.stdout.write(f"{path} is in use\n")


def measure(arguments: argparse.Namespace) -> None:
    """Measure how long clusters take to come up and down, and their memory."""
    for row in measurements(arguments.times):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


def _usage(cluster: Cluster) -> str:
    kubectl = Path(programs.program("kubectl"))
    machines = (*(node.machine for node in cluster.nodes.values()), cluster.plane.machine)
    enter = "".join(f"  {' '.join(machine.enter())} bash    # {machine.name}\n" for machine in machines)
    return (
        "In another shell:\n"
        f"  export KUBECONFIG={cluster.kubeconfig} POLICYD_AGNHOST={cluster.agnhost}\n"
        f"  export PATH={kubectl.parent}:$PATH\n"
        "  kubectl get nodes,pods --all-namespaces --output wide\n"
        f"Inside the machines, as root:\n{enter}"
        f"Logs: {cluster.plane.path}/*.log\n"
        "Ctrl-C removes everything.\n"
    )


def _archive(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=command.__doc__, allow_abbrev=False)
        added.set_defaults(command=command)
        return added

    add("build", build).add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    bring_up = add("up", up)
    bring_up.add_argument("--network", choices=get_args(Name), default="flannel")
    bring_up.add_argument(
        "--proxy", choices=get_args(ProxyMode), default="nftables", help="kube-proxy's mode"
    )
    bring_up.add_argument(
        "--way", choices=get_args(CiliumWay), default="ebpf", help="how Cilium takes packets from pod to pod"
    )
    bring_up.add_argument("--image", type=_archive, action="append", default=[], help="an archive to import")
    add("down", down)
    add("measure", measure).add_argument(
        "--times", type=_positive, metavar="N", default=3, help="clusters of each kind"
    )
    return parser


def main() -> int:
    """Run one command and give its exit code."""
    arguments = _parser().parse_args()
    try:
        arguments.command(arguments)
        sys.stdout.flush()
    except PolicydError as error:
        sys.stderr.write(f"policyd: {error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return 141
    return 0


if __name__ == "__main__":
    sys.exit(main())
