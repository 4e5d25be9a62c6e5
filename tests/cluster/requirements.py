"""What a test cluster needs from the system: the Debian packages, who misses them, how they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from policyd.errors import EnvironmentRefused

Part = Literal["control-plane", "nodes", "flannel", "cilium", "e2e", "cnp", "cyclonus"]

CNI_PLUGINS = Path("/usr/lib/cni")  # where Debian puts them
STATIC_BASH = Path("/bin/bash-static")
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Need:
    """A program, and the Debian package that brings it."""

    program: str
    package: str


# The entries with a path are files that are not meant to be on PATH.
NEEDS: dict[Part, tuple[Need, ...]] = {
    "control-plane": (
        Need("ip", "iproute2"),
        Need("nsenter", "util-linux"),
        Need("mount", "mount"),
        Need("openssl", "openssl"),
    ),
    "nodes": (
        Need("containerd", "containerd"),
        Need("runc", "runc"),
        Need(str(CNI_PLUGINS / "ptp"), "containernetworking-plugins"),
        Need("nft", "nftables"),
        Need("iptables", "iptables"),
        Need("conntrack", "conntrack"),
    ),
    "flannel": (),
    "cilium": (
        Need("clang-19", "clang-19"),
        Need("llc-19", "llvm-19"),
    ),  # its programs are compiled on the node
    "e2e": (),
    "cnp": (Need(str(STATIC_BASH), "bash-static"),),  # the suite's pods start what they run by a shell
    "cyclonus": (),
}


def require(*parts: Part) -> None:
    """Refuse, in one sentence, if these parts cannot run here."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise EnvironmentRefused("a test cluster needs root on Linux: it makes network and mount namespaces")
    packages = missing_packages(*parts)
    if packages:
        command = f"apt-get install {' '.join(packages)}"
        raise EnvironmentRefused(f"a test cluster needs programs that are not installed; run `{command}`")


def missing_packages(*parts: Part) -> list[str]:
    """List the Debian packages that these parts need and the system does not have."""
    return [
        need.package
        for part in parts
        for need in NEEDS[part]
        if shutil.which(need.program, path=SYSTEM_PATH) is None
    ]


def install(*parts: Part) -> None:
    """Install what these parts miss, where apt-get and root are at hand, or refuse in one sentence."""
    packages = missing_packages(*parts)
    if not packages or shutil.which("apt-get") is None or os.geteuid() != 0:
        require(*parts)
        return
    sys.stderr.write(f"policyd: installing system packages: {' '.join(packages)}\n")
    # The package lists may be absent, or too old to name files that still exist.
    if not _apt_get("install", *packages):
        _apt_get("update")
        if not _apt_get("install", *packages):
            raise EnvironmentRefused(f"apt-get could not install {' '.join(packages)}")


def _apt_get(command: str, *packages: str) -> bool:
    quiet = ("-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
    wanted = ("--yes", "--no-install-recommends", *packages) if packages else ()
    result = subprocess.run(
        ["apt-get", *quiet, command, *wanted],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        sys.stderr.write(result.stdout)
    return result.returncode == 0
