"""Pods in a mesh: Istio's redirects in their namespaces, and a stand-in for the proxy that these lead to.

What istio-cni sets up in a pod is set up here: rules of nftables with the same hooks, priorities, marks and
ports, the routing rule for ztunnel's answers, and the addresses that a sidecar connects from.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from policyd.lab.namespace import Namespace
from tests.networks.beside import Pod
from tests.networks.proxy import USER

Kind = Literal["sidecar", "ztunnel"]
PROXY = Path(__file__).with_name("proxy.py")

_SIDECAR = f"""\
table inet istio-proxy-nat {{
	chain inbound {{
		type nat hook prerouting priority -100;
		tcp dport {{ 15008, 15020, 15021, 15090 }} return
		meta l4proto tcp redirect to :15006
	}}
	chain outbound {{
		type nat hook output priority -100;
		oifname "lo" ip saddr 127.0.0.6 return
		oifname "lo" ip6 saddr ::6 return
		oifname "lo" meta skuid != {USER} return
		meta skuid {USER} return
		ip daddr 127.0.0.1 return
		ip6 daddr ::1 return
		meta l4proto tcp redirect to :15001
	}}
}}
"""
_ZTUNNEL = """\
table inet istio-ambient-nat {
	chain inbound {
		type nat hook prerouting priority -100;
		meta l4proto tcp ip saddr 169.254.7.127 accept
		meta l4proto tcp ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept
		meta mark & 0xfff == 0x539 return
		ip daddr != 127.0.0.1 tcp dport != 15008 redirect to :15006
		ip6 daddr != ::1 tcp dport != 15008 redirect to :15006
	}
	chain outbound {
		type nat hook output priority -100;
		ip daddr 169.254.7.127 accept
		ip6 daddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept
		meta l4proto tcp meta mark & 0xfff == 0x111 accept
		oifname "lo" accept
		meta l4proto tcp meta mark & 0xfff != 0x539 redirect to :15001
	}
}
table inet istio-ambient-mangle {
	chain inbound {
		type filter hook prerouting priority -150;
		meta mark & 0xfff == 0x539 ct mark set 0x111
	}
	chain outbound {
		type route hook output priority -150;
		ct mark & 0xfff == 0x111 meta mark set ct mark
	}
}
"""
_PROBES = """\
table inet istio-probes {
	chain postrouting {
		type nat hook postrouting priority 100;
		meta nfproto ipv4 fib saddr type local oifname "veth*" meta l4proto tcp snat ip to 169.254.7.127
		meta nfproto ipv6 fib saddr type local oifname "veth*" meta l4proto tcp \
			snat ip6 to fd16:9254:7127:1337:ffff:ffff:ffff:ffff
	}
}
"""
_RULES: dict[Kind, str] = {"sidecar": _SIDECAR, "ztunnel": _ZTUNNEL}
#: What makes answers to ztunnel's transparent connections its own.
ROUTING = (
    "rule add fwmark 0x111/0xfff pref 32764 lookup 100",
    "route add local 0.0.0.0/0 dev lo table 100",
    "-6 rule add fwmark 0x111/0xfff pref 32764 lookup 100",
    "-6 route add local ::/0 dev lo table 100",
)


def redirect(namespace: Namespace, kind: Kind) -> None:
    """Send what a pod's application says and hears to a proxy."""
    if kind == "ztunnel":
        for line in ROUTING:
            done = namespace.run(["ip", *line.split()])
            assert done.returncode == 0, done.stderr
    else:
        namespace.ip(["addr add ::6/128 dev lo nodad"])
    done = namespace.run(["nft", "-f", "-"], _RULES[kind])
    assert done.returncode == 0, done.stderr


@contextmanager
def proxied(pods: Sequence[Pod], kind: Kind) -> Iterator[None]:
    """Have all these pods in one mesh, each with its proxy."""
    members = [address for pod in pods for address in pod.addresses]
    running: list[subprocess.Popen[str]] = []
    try:
        for pod in pods:
            redirect(pod.namespace, kind)
            with pod.namespace.entered():
                proxy = subprocess.Popen(
                    [sys.executable, "-I", str(PROXY), kind, *members],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            running.append(proxy)
            assert proxy.stdout is not None
            assert proxy.stdout.readline() == "ready\n"
        yield
    finally:
        for proxy in running:
            proxy.kill()
            proxy.communicate()


def probed_from(node: Namespace) -> None:
    """Give what this node's processes send to pods the sources that istio-cni gives the kubelet's probes."""
    done = node.run(["nft", "-f", "-"], _PROBES)
    assert done.returncode == 0, done.stderr
