"""`python -m bench.tenants`: what one tenant's policies cost a node, for each way to make them expensive.

Each family is a world of one namespace that grows with N, written to make some part of the compiler do more
than its share. Each runs in a process of its own, `policyd compile`, and is measured from outside: seconds of
the processor, memory, the input and the script. What is over the bounds is marked, unless its input is large.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]

SPACE = "tenant"
SECONDS = 2.0
MIB = 256.0
#: From so much YAML or JSON on, what it costs is its own size.
LARGE_INPUT = 1 << 20


@dataclass(frozen=True, slots=True)
class Family:
    """A way to write expensive policies: the world for a number, and the numbers that are tried."""

    name: str
    world: Callable[[int], list[Manifest]]
    sizes: tuple[int, ...]


def _space() -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}


def _pod(number: int, labels: dict[str, str] | None = None, node: str = "n1") -> Manifest:
    address = f"10.244.{number >> 8}.{number & 255}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": SPACE,
            "name": f"p{number}",
            "uid": f"u{number}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod": f"p{number}", **(labels or {})},
        },
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
        "status": {
            "phase": "Running",
            "startTime": "2026-01-01T00:00:00Z",
            "podIP": address,
            "podIPs": [{"ip": address}, {"ip": f"fd00:10:244::{number:x}"}],
        },
    }


def _policy(name: str, rules: list[Manifest], selector: Manifest | None = None) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": SPACE, "name": name},
        "spec": {"podSelector": selector or {}, "policyTypes": ["Ingress"], "ingress": rules},
    }


def _rule(peers: list[Manifest], *ports: Manifest) -> Manifest:
    return {"from": peers, "ports": list(ports)}


def _block(cidr: str, *excepts: str) -> Manifest:
    return {"ipBlock": {"cidr": cidr, "except": list(excepts)}} if excepts else {"ipBlock": {"cidr": cidr}}


def _port(number: int, protocol: str = "TCP") -> Manifest:
    return {"port": number, "protocol": protocol}


def _nested_rules(count: int) -> list[Manifest]:
    """Each lets half of the Internet use a port of its own, but for one small network of its own."""
    return [
        _rule([_block("0.0.0.0/1", f"{20 + n // 250}.{n % 250}.7.0/24")], _port(1000 + 3 * n))
        for n in range(count)
    ]


def nested(count: int) -> list[Manifest]:
    return [_space(), _pod(1), _policy("nested", _nested_rules(count))]


def nested_for_many(count: int) -> list[Manifest]:
    """The same for a hundred pods, each under small policies of its own choice."""
    pods = [_pod(n, {f"b{bit}": str(n >> bit & 1) for bit in range(7)}) for n in range(1, 101)]
    small = [
        _policy(
            f"s{bit}-{value}",
            [{"ports": [_port(50_000 + 4 * bit + 2 * value)]}],
            {"matchLabels": {f"b{bit}": str(value)}},
        )
        for bit in range(7)
        for value in range(2)
    ]
    return [_space(), *pods, _policy("nested", _nested_rules(count)), *small]


def one_rule_policies(count: int) -> list[Manifest]:
    """Policies of a single address and a port of its own, for two pods."""
    rules = (_rule([_block(f"198.18.{n >> 8}.{n & 255}/32")], _port(1 + n)) for n in range(count))
    return [_space(), _pod(1), _pod(2), *(_policy(f"np{n}", [rule]) for n, rule in enumerate(rules))]


def random_selectors(count: int) -> list[Manifest]:
    """Selectors that each find another half of four hundred pods, each for a port of its own."""
    rng = random.Random(1)
    pods = [
        _pod(n, {f"l{k}": str(rng.randrange(2)) for k in range(10)}, "n1" if n == 1 else "n2")
        for n in range(1, 401)
    ]
    rules = []
    for n in range(count):
        keys = rng.sample(range(10), 3)
        wanted = {"matchLabels": {f"l{keys[0]}": str(rng.randrange(2))}}
        rest = [{"key": f"l{k}", "operator": "NotIn", "values": [str(rng.randrange(2))]} for k in keys[1:]]
        either = {"matchLabels": {f"l{keys[1]}": str(rng.randrange(2)), f"l{keys[2]}": "0"}}
        peers: list[Manifest] = [
            {"podSelector": {**wanted, "matchExpressions": rest}},
            {"podSelector": either},
        ]
        rules.append(_rule(peers, _port(1000 + 2 * n)))
    return [_space(), *pods, _policy("random", rules)]


def halves(count: int) -> list[Manifest]:
    """Policies over two hundred pods of the node, each for another half of them."""
    rng = random.Random(1)
    pods = [_pod(n, {f"l{k}": str(rng.randrange(2)) for k in range(20)}) for n in range(1, 201)]
    policies = []
    for n in range(count):
        keys = rng.sample(range(20), 2)
        selector: Manifest = {
            "matchExpressions": [{"key": f"l{keys[0]}", "operator": "In", "values": [str(n % 2)]}]
        }
        if n % 3 == 0:
            selector = {"matchLabels": {f"l{keys[1]}": str(n % 2)}}
        rule = _rule([_block(f"198.18.{n >> 8}.{n & 255}/32")], _port(1 + n))
        policies.append(_policy(f"np{n}", [rule], selector))
    return [_space(), *pods, *policies]


def disjoint_ports(count: int) -> list[Manifest]:
    """Single addresses, each with a TCP and a UDP port of its own."""
    rules = [
        _rule([_block(f"198.18.{n >> 8}.{n & 255}/32")], _port(1 + 2 * n), _port(2 + 2 * n, "UDP"))
        for n in range(count)
    ]
    return [_space(), _pod(1), _policy("disjoint", rules)]


def excepts(count: int) -> list[Manifest]:
    """Blocks of four hundred excepts, each with a port of its own; `count` excepts in all."""
    rules = [
        _rule(
            [_block("64.0.0.0/2", *(f"{64 + b}.{n >> 8}.{n & 255}.0/28" for n in range(400)))],
            _port(100 + 2 * b),
        )
        for b in range(count // 400)
    ]
    return [_space(), _pod(1), _policy("excepts", rules)]


def disjoint(count: int) -> list[Manifest]:
    """Single addresses for all ports."""
    peers = [_block(f"198.{18 + (n >> 7 >> 8)}.{n >> 7 & 255}.{2 * n & 255}/32") for n in range(count)]
    return [_space(), _pod(1), _policy("disjoint", [{"from": peers}])]


def long_lists(count: int) -> list[Manifest]:
    """One list of ports, none beside another."""
    return [
        _space(),
        _pod(1),
        _policy("ports", [_rule([_block("198.18.0.0/15")], *(_port(1 + 3 * n) for n in range(count)))]),
    ]


def _with_web(pod: Manifest, number: int) -> Manifest:
    """The pod with a port named `web` of its own number."""
    pod["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 1000 + 2 * number}]
    return pod


def named_egress(count: int) -> list[Manifest]:
    """Rules to nearly all of four hundred pods, by a port name that is another number at each."""
    pods = [_with_web(_pod(n, node="n1" if n == 1 else "n2"), n) for n in range(1, 401)]
    rules: list[Manifest] = []
    for n in range(count):
        others = {"key": "pod", "operator": "NotIn", "values": [f"p{n}"]}
        rules.append({"to": [{"podSelector": {"matchExpressions": [others]}}], "ports": [{"port": "web"}]})
    policy = _policy("named", [])
    policy["spec"] = {"podSelector": {}, "policyTypes": ["Egress"], "egress": rules}
    return [_space(), *pods, policy]


def named_ingress(count: int) -> list[Manifest]:
    """Rules for a hundred pods of the node, by a port name that is another number at each."""
    rules = [
        _rule([_block(f"20.{n >> 8}.{n & 255}.0/24")], {"port": "web"}, _port(5001 + 2 * n))
        for n in range(count)
    ]
    return [_space(), *(_with_web(_pod(n), n) for n in range(1, 101)), _policy("named", rules)]


def denials(count: int) -> list[Manifest]:
    """Policies that allow nothing, each for another half of a hundred pods of the node."""
    rng = random.Random(1)
    pods = [_pod(n, {f"l{k}": str(rng.randrange(2)) for k in range(20)}) for n in range(1, 101)]
    wanted = ({"matchLabels": {f"l{n % 20}": str(n // 20 % 2)}} for n in range(count))
    return [_space(), *pods, *(_policy(f"np{n}", [], labels) for n, labels in enumerate(wanted))]


def namespace_selectors(count: int) -> list[Manifest]:
    """Selectors that each find nearly all of a thousand namespaces, with four pods in each."""
    spaces: list[Manifest] = []
    for n in range(1000):
        labels = {"team": f"t{n % 50}"}
        spaces.append(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"s{n}", "labels": labels}}
        )
        for k in range(4):
            pod = _pod(256 + 4 * n + k, node="n2")
            pod["metadata"]["namespace"] = f"s{n}"
            spaces.append(pod)
    rules = []
    for n in range(count):
        selector = {
            "matchExpressions": [{"key": "team", "operator": "NotIn", "values": [f"t{n % 50}", f"x{n}"]}]
        }
        rules.append(_rule([{"namespaceSelector": selector}], _port(80)))
    return [_space(), *spaces, _pod(1), _policy("everywhere", rules)]


FAMILIES = (
    Family("nested blocks with own ports", nested, (100, 200, 400, 800)),
    Family("the same for 100 isolations", nested_for_many, (25, 50, 100, 200)),
    Family("one-rule policies, own ports, 2 pods", one_rule_policies, (1000, 4000, 10_000)),
    Family("random selectors with own ports, 400 pods", random_selectors, (200, 400, 800)),
    Family("policies of half of 200 local pods", halves, (100, 200, 400)),
    Family("single addresses, own TCP and UDP port", disjoint_ports, (500, 1000, 2000)),
    Family("blocks with 400 excepts", excepts, (1200, 4800)),
    Family("single addresses, all ports", disjoint, (5000, 20_000)),
    Family("ports in one list", long_lists, (2000, 8000)),
    Family("egress to named ports of 400 pods", named_egress, (200, 800)),
    Family("ingress to named ports of 100 local pods", named_ingress, (100, 200)),
    Family("policies without rules, half of 100 local pods", denials, (1000, 4000)),
    Family("selectors of a thousand namespaces", namespace_selectors, (200, 800)),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took, and what it made."""

    input_bytes: int
    seconds: float
    mib: float
    script_bytes: int

    @property
    def over(self) -> bool:
        """Whether it is over the bounds, and its input is no excuse."""
        return self.input_bytes <= LARGE_INPUT and (self.seconds > SECONDS or self.mib > MIB)


def measure(objects: list[Manifest], folder: Path) -> Cost:
    """Run `policyd compile` over a world."""
    manifest, script = folder / "world.json", folder / "script.nft"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    command = [sys.executable, "-m", "policyd", "compile", "-f", str(manifest), "--node", "n1"]
    with script.open("wb") as out:
        child = subprocess.Popen(command, stdout=out)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"policyd compile ended with {child.returncode}")
    return Cost(
        manifest.stat().st_size, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, script.stat().st_size
    )


def main(arguments: list[str]) -> int:
    """Print a table; with words, only of the families that hold one of them."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            if arguments and not any(word in family.name for word in arguments):
                continue
            sys.stdout.write(f"{family.name}\n")
            for size in family.sizes:
                cost = measure(family.world(size), Path(folder))
                failed += cost.over
                sys.stdout.write(
                    f"  {size:>7}: {cost.seconds:6.2f} s {cost.mib:6.0f} MiB, "
                    f"{cost.input_bytes / 1e3:8.0f} kB in, {cost.script_bytes / 1e3:8.0f} kB out"
                    f"{'   OVER' if cost.over else ''}\n"
                )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
