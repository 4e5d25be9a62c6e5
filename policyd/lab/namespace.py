"""Network namespaces without names: each lives as long as this process holds it open, and no longer.

Nothing is written to a file system, so nothing can be left behind, whatever ends the process. Must not change
anything outside the namespaces made here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from policyd.errors import EnvironmentRefused

CLONE_NEWNET = 0x40000000
#: A program that sets something up answers at once; one that does not is stuck.
SETUP_SECONDS = 30.0

_LIBC = ctypes.CDLL(None, use_errno=True)
_CURRENT = "/proc/thread-self/ns/net"

_NO_PERMISSION = (
    "the kernel does not let this process make network namespaces: run it as root (in a container: with "
    "CAP_SYS_ADMIN and CAP_NET_ADMIN), or as root of a user namespace (unshare --user --map-root-user --net)"
)
_REFUSALS = {
    errno.EPERM: _NO_PERMISSION,
    errno.EACCES: _NO_PERMISSION,
    errno.ENOSPC: "no more network namespaces are allowed here: raise the sysctl user.max_net_namespaces",
    errno.EINVAL: "this kernel has no network namespaces (CONFIG_NET_NS)",
}


class Namespace:
    """One network namespace, held open until `close`, and its loopback interface up."""

    def __init__(self, label: str) -> None:
        """Make a namespace; `label` is what errors call it."""
        self.label = label
        self._fd = _make()
        self._owner = os.getpid()
        try:
            self.ip(["link set lo up"])
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Namespace {self.label} {self.path}>"

    @property
    def path(self) -> str:
        """Where other processes find it while this one holds it, as in `nsenter --net=PATH`."""
        return f"/proc/{self._owner}/fd/{self._fd}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread into the namespace; sockets and processes made meanwhile stay in it."""
        home = os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self._fd)
            yield
        finally:
            try:
                _enter(home)
            finally:
                os.close(home)

    def ip(self, lines: Iterable[str], *options: str) -> None:
        """Run lines of the program `ip` in the namespace, all in one process."""
        commands = list(lines)
        if not commands:
            return
        result = self.run(["ip", *options, "-batch", "-"], "\n".join(commands) + "\n")
        if result.returncode:
            raise EnvironmentRefused(_ip_refusal(self.label, commands, result.stderr))

    def set_sysctls(self, settings: Mapping[str, str]) -> None:
        """Set sysctls of the namespace; one that already has its value is left alone."""
        with self.entered():
            for name, value in settings.items():
                _set_sysctl(self.label, name, value)

    def run(
        self, command: Sequence[str], stdin: str = "", seconds: float = SETUP_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the namespace to its end; what it returned is the caller's to judge."""
        require_program(command[0])
        try:
            with self.entered():
                return subprocess.run(
                    command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
                )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentRefused(
                f"{self.label}: `{' '.join(command)}` gave no answer within {seconds:g} s"
            ) from error

    def close(self) -> None:
        """Let go of the namespace. The kernel removes it with the last process in it. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def require_program(name: str) -> None:
    """Refuse where a program is missing, with what to install."""
    if shutil.which(name) is None:
        package = {"ip": "iproute2", "nft": "nftables", "setpriv": "util-linux"}.get(name, name)
        raise EnvironmentRefused(
            f"there is no program `{name}` on PATH; Debian's package is `{package}`, and such programs are "
            "often in /usr/sbin"
        )


def _make() -> int:
    """A descriptor of a new namespace; the calling thread stays where it is."""
    home = os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.unshare(CLONE_NEWNET):
            number = ctypes.get_errno()
            reason = _REFUSALS.get(number, f"the kernel refused a network namespace: {os.strerror(number)}")
            raise EnvironmentRefused(reason)
        try:
            return os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter(fd: int) -> None:
    if _LIBC.setns(fd, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise EnvironmentRefused(f"the kernel refused to enter a network namespace: {os.strerror(number)}")


def _ip_refusal(label: str, commands: list[str], stderr: str) -> str:
    """The sentence for a line that `ip` refused; behind most reasons it says `Command failed -:NUMBER`."""
    lines = stderr.splitlines()
    reasons = "; ".join(line for line in lines if line and not line.startswith("Command failed"))
    number = next((line.rpartition(":")[2] for line in lines if line.startswith("Command failed -:")), "")
    # A line that it cannot even read has no number.
    what = f"ip {commands[int(number) - 1]}" if number else "ip"
    if "Unknown device type" in reasons or "Operation not supported" in reasons:
        reasons += " (does this kernel lack the module `veth` or `bridge`?)"
    if "Operation not permitted" in reasons:
        reasons += " (this needs CAP_NET_ADMIN)"
    return f"{label}: `{what}`: {reasons or 'failed'}"


def _set_sysctl(label: str, name: str, value: str) -> None:
    path = Path("/proc/sys") / name.replace(".", "/")
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except FileNotFoundError as error:
        raise EnvironmentRefused(f"{label}: this kernel has no sysctl {name}{_cure(name)}") from error
    except OSError as error:
        raise EnvironmentRefused(
            f"{label}: cannot set the sysctl {name} to {value}: {error.strerror} "
            "(a container needs /proc/sys/net writable)"
        ) from error


def _cure(name: str) -> str:
    if name.startswith("net.bridge."):
        return ": bridged pods need the module br_netfilter; load it with `modprobe br_netfilter`"
    if name.startswith("net.ipv6."):
        return ": the lab is always dual-stack; start the kernel without ipv6.disable"
    return ""
