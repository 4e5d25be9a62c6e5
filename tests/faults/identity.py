"""Faults in who holds an address, and in what is known of a pod's Namespace."""

from __future__ import annotations

from tests.faults.fault import Fault

CASE = "tests/property/test_meaning.py::test_case"
OWNERSHIP = "policyd/cluster/ownership.py"
PEERS = "policyd/cluster/peers.py"
RESOLVE = "policyd/cluster/resolve.py"

IDENTITY = (
    Fault(
        "of two pods with one address one alone is isolated",
        "NP-166",
        RESOLVE,
        "            for claim in claims.to(host)\n        ]\n",
        "            for claim in claims.to(host)\n        ][:1]\n",
        f"{CASE}[NP-166-older-and-deleting]",
    ),
    Fault(
        "an address that several pods claim is allowed what one of them is",
        "NP-166",
        "compiler/policyd_compiler/lower/decide.py",
        "undecided, allowed, claimant = allowed | undecided, 0, stage.claimant",
        "claimant = stage.claimant",
        f"{CASE}[NP-166-subject-only-what-each-allows]",
    ),
    Fault(
        "an address that several pods claim is open if one of them is",
        "NP-166",
        "policyd/cluster/isolations.py",
        "        if not parts:\n            return None\n",
        "        if len([*self._parts(direction, claimants)]) < len(claimants):\n            return None\n",
        f"{CASE}[NP-166-subject]",
    ),
    Fault(
        "a claim counts on the claimant's own node only",
        "NP-166",
        RESOLVE,
        "claim, pod in enumerate(claims.pods) if pod.node == node",
        "claim, pod in enumerate(claims.pods[: len(claims.hosts)]) if pod.node == node",
        f"{CASE}[NP-166-subject]",
    ),
    Fault(
        "who is selected lets in what others claim",
        "NP-166",
        OWNERSHIP,
        "            if self.rivals[host] & ~claims:\n",
        "            if not self.rivals[host] & claims:\n",
        f"{CASE}[NP-166-peer]",
    ),
    Fault(
        "a named port counts if one claimant has it",
        "NP-166",
        PEERS,
        "self._claims.held(pods)",
        "pods & (1 << len(self._claims.hosts)) - 1",
        f"{CASE}[NP-166-peer-named-port]",
    ),
    Fault(
        "two pods that share one address share all",
        "NP-166",
        OWNERSHIP,
        "key = tuple(map(key_of, claimants))",
        "key = (key_of(claimants[0]),)",
        f"{CASE}[NP-166-three]",
    ),
    Fault(
        "the loopback address can be a pod's",
        "NP-167",
        OWNERSHIP,
        '("a loopback address", ("127.0.0.0/8", "::1/128")),',
        '("a loopback address", ()),',
        f"{CASE}[NP-167-loopback]",
    ),
    Fault(
        "a node's address can be a pod's",
        "NP-167",
        OWNERSHIP,
        'return f"an address of node {of_nodes[value]}" if value in of_nodes else ""',
        'return ""',
        f"{CASE}[NP-167-node]",
    ),
    Fault(
        "a Namespace that may still come has no labels",
        "NP-168",
        RESOLVE,
        "        return state.namespaces, told\n",
        "        made = {p.namespace: Namespace(p.namespace, ()) for p in state.pods.values()}\n"
        "        return {**made, **state.namespaces}, told\n",
        f"{CASE}[NP-168-peer]",
    ),
    Fault(
        "manifests without Namespaces have none",
        "NP-040",
        RESOLVE,
        "    return {**state.namespaces, **{name: made_namespace(name) for name in missing}}, told\n",
        "    return state.namespaces, told\n",
        f"{CASE}[NP-040-missing]",
    ),
)
