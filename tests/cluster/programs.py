"""The programs of a test cluster: built once from pinned Go modules into a cache, and found there afterwards.

The cache's folders are named by a hash of the module files they were built from, so another checkout or
another version never runs the wrong program. Nothing is built behind a test's back: to build is a command.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from policyd.errors import EnvironmentRefused
from tests.cluster.image import write_image
from tests.cluster.requirements import Part

MODULES = Path(__file__).parent / "programs"
RECIPE = 1  # count up when something is built in another way from the same modules
REGISTRY = "policyd.invalid"  # no such host can exist (RFC 2606): an image that is not there is never pulled
PAUSE = f"{REGISTRY}/pause:1"
AGNHOST_ARCHIVE = "agnhost.tar"
AGNHOST_TAG = "agnhost.tag"
ETCD = "go.etcd.io/etcd"
KUBERNETES = "k8s.io/kubernetes"
CILIUM = "github.com/cilium/cilium"
POLICY_API = "sigs.k8s.io/network-policy-api"
SUITE_IMAGE = "image"  # the name by which the pods of ClusterNetworkPolicy's suite ask for agnhost


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its file name, the module folder that pins it, the package that it is."""

    name: str
    module: str
    package: str


def _kubernetes(*names: str) -> tuple[Program, ...]:
    return tuple(Program(name, "kube", f"{KUBERNETES}/cmd/{name}") for name in names)


PROGRAMS: dict[Part, tuple[Program, ...]] = {
    "control-plane": (
        *_kubernetes("kube-apiserver", "kubectl"),
        Program("etcd", "kube", f"{ETCD}/server/v3"),
        Program("etcdctl", "kube", f"{ETCD}/etcdctl/v3"),
        Program("etcdutl", "kube", f"{ETCD}/etcdutl/v3"),
    ),
    "nodes": (
        *_kubernetes("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
        Program("agnhost", "kube", f"{KUBERNETES}/test/images/agnhost"),
    ),
    "flannel": (
        Program("flanneld", "flannel", "."),
        Program("cni/flannel", "flannel-cni", "github.com/containernetworking/plugins/plugins/meta/flannel"),
    ),
    "cilium": (
        Program("cilium-agent", "cilium", f"{CILIUM}/daemon"),
        Program("cni/cilium-cni", "cilium", f"{CILIUM}/plugins/cilium-cni"),
    ),
    "e2e": (
        Program("ginkgo", "kube", "github.com/onsi/ginkgo/v2/ginkgo"),
        Program("e2e.test", "kube", f"{KUBERNETES}/test/e2e"),
    ),
    "cnp": (
        Program("conformance.test", "cnp", f"{POLICY_API}/conformance"),
        Program("agnhost-sctp", "cnp", "."),
    ),
    "cyclonus": (Program("cyclonus", "cyclonus", "."),),
}


def folder(part: Part) -> Path:
    """Give the folder of a part's programs."""
    require(part)
    return _folder(part)


def built(part: Part) -> bool:
    """Tell whether a part's programs are in the cache."""
    return _folder(part).is_dir()


def require(*parts: Part) -> None:
    """Refuse, in one sentence, if these parts were not built."""
    missing = [part for part in parts if not built(part)]
    if missing:
        command = f"make cluster-build CLUSTER_PARTS='{' '.join(missing)}'"
        raise EnvironmentRefused(f"programs of the test cluster are not built; run `{command}`")


def program(name: str) -> str:
    """Give the path of a built program."""
    part = next(part for part, programs in PROGRAMS.items() if any(p.name == name for p in programs))
    return str(folder(part) / name)


def agnhost() -> str:
    """Give the name of upstream's test image, as the nodes have it."""
    return (folder("nodes") / AGNHOST_TAG).read_text()


def build(*parts: Part) -> None:
    """Build the parts that are not in the cache yet."""
    missing = [part for part in parts if not built(part)]
    if not missing:
        return
    if shutil.which("go") is None:
        raise EnvironmentRefused(
            "no `go` on PATH: building the test cluster's programs needs Go 1.21 or newer"
        )
    home = _home()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once would only take turns at the processors
        for part in missing:
            if not built(part):
                _build(part)


def _home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "policyd-cluster"


@cache
def _folder(part: Part) -> Path:
    """Name the cache folder of a part by what determines its contents."""
    digest = hashlib.sha256(f"{RECIPE} {PROGRAMS[part]}".encode())
    for module in sorted({program.module for program in PROGRAMS[part]}):
        for file in sorted((MODULES / module).iterdir()):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return _home() / f"{part}-{digest.hexdigest()[:12]}"


def _build(part: Part) -> None:
    finished = _folder(part)
    unfinished = Path(mkdtemp(prefix=f"{part}-unfinished-", dir=finished.parent))
    try:
        for program in PROGRAMS[part]:
            sys.stderr.write(f"policyd: building {program.name}\n")
            _build_program(program, unfinished / program.name)
        extra = EXTRAS.get(part)
        if extra is not None:
            extra(unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(finished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _build_program(program: Program, target: Path) -> None:
    if program.package.endswith("/test/e2e"):
        command = ["go", "test", "-c", "-vet=off", "-ldflags", _kubernetes_flags()]
    elif program.package.endswith("/conformance"):
        command = ["go", "test", "-c", "-vet=off", "-ldflags", "-s -w"]
    elif program.package.startswith(f"{KUBERNETES}/cmd/"):
        command = ["go", "build", "-ldflags", _kubernetes_flags()]
    else:
        command = ["go", "build", "-ldflags", "-s -w"]
    _go(program.module, *command, "-o", str(target), program.package)


@cache
def _kubernetes_flags() -> str:
    """Stamp the version: kubelet and the e2e tests refuse to work with programs that do not know theirs."""
    release = _go("kube", "go", "list", "-m", "-f", "{{.Version}}", KUBERNETES)
    major, minor, _ = release.removeprefix("v").split(".", 2)
    stamp = "k8s.io/component-base/version"
    values = (("gitVersion", release), ("gitMajor", major), ("gitMinor", minor))
    return " ".join(["-s -w", *(f"-X {stamp}.{name}={value}" for name, value in values)])


def _wrap_agnhost(target: Path) -> None:
    """Make upstream's test image from its program; the same program serves as the pause of every pod."""
    module = Path(_go("kube", "go", "list", "-m", "-f", "{{.Dir}}", KUBERNETES))
    tag = f"{REGISTRY}/agnhost:{(module / 'test/images/agnhost/VERSION').read_text().strip()}"
    write_image(
        target / AGNHOST_ARCHIVE,
        "agnhost",
        programs={"agnhost": target / "agnhost"},
        tags=(tag, PAUSE),
        command=("pause",),
    )
    (target / AGNHOST_TAG).write_text(tag)


def _copy_cilium_sources(target: Path) -> None:
    """Copy the eBPF sources that the agent compiles on the node, and its resource definitions."""
    module = Path(_go("cilium", "go", "list", "-m", "-f", "{{.Dir}}", CILIUM))
    shutil.copytree(module / "bpf", target / "bpf")
    (target / "crds").mkdir()
    for definition in module.glob("pkg/k8s/apis/cilium.io/client/crds/v2*/*.yaml"):
        shutil.copyfile(definition, target / "crds" / definition.name)
    for copied in target.rglob("*"):
        copied.chmod(copied.stat().st_mode | 0o200)  # the module cache is read-only, and copies keep that


def _copy_policy_definitions(target: Path) -> None:
    """Copy the definitions of both channels, and note the image that the suite's pods ask for."""
    module = Path(_go("cnp", "go", "list", "-m", "-f", "{{.Dir}}", POLICY_API))
    for channel in ("standard", "experimental"):
        folder = target / "crds" / channel
        folder.mkdir(parents=True)
        for definition in (module / "config/crd" / channel).glob("policy.*.yaml"):
            (folder / definition.name).write_bytes(definition.read_bytes())
    manifests = (module / "conformance/base/manifests.yaml").read_text()
    (image,) = set(re.findall(r"^ *image: *(\S+)$", manifests, re.MULTILINE))
    (target / SUITE_IMAGE).write_text(image)


EXTRAS: dict[Part, Callable[[Path], None]] = {
    "nodes": _wrap_agnhost,
    "cilium": _copy_cilium_sources,
    "cnp": _copy_policy_definitions,
}


def _go(module: str, *command: str) -> str:
    flags = f"{os.environ.get('GOFLAGS', '')} -mod=readonly".strip()
    result = subprocess.run(
        ["nice", *command],  # a build takes minutes, and the machine has other work
        cwd=MODULES / module,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        tail = "\n".join(result.stderr.strip().splitlines()[-15:])
        raise EnvironmentRefused(f"`{' '.join(command[:2])}` failed for {command[-1]}:\n{tail}")
    return result.stdout.strip()
