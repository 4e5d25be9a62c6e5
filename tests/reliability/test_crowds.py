"""Too much, too odd: a thousand malformed objects, a policy of 10 000 rules, a namespace of 50 000 policies.

What is good among it must be enforced as if the rest were not there. What it took is printed, and what it may
take is counted.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from policyd.cluster.state import ClusterState
from policyd.kube.decode import decode_live
from policyd.lab.namespace import Namespace
from policyd.pipeline import build
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.sim import Simulator
from tests.agent.asking import ask
from tests.cases.form import block, ingress, namespace, pod, pods
from tests.kernel.ground import nft
from tests.oracle import Connection, Manifest
from tests.reliability.churn import PATHS
from tests.reliability.site import flows, make_lab, open_site
from tests.reliability.states import NODE, OPTIONS, UNBOUNDED, decoded
from tests.reliability.summary import show
from tests.routes import packet
from tests.support.counting import lines_run

MALFORMED = 1000
RULES = 10_000
POLICIES = 50_000
#: MiB of a process that compiles them, Python and decoded objects included.
MEMORY = 1500.0

JUNK: tuple[object, ...] = (
    None, 7, -1, 1 << 70, 1.5, True, "", "x" * 10_000, "\x00", "10.244.1.12/99", "\u202e", [], [[]], [None],
    {}, {"": None}, {"matchLabels": 3}, {"key": {"key": []}}, [{"ip": "::ffff:1.2.3.4"}, {"ip": 3}],
)  # fmt: skip
PORT_80 = {"ports": [{"port": 80}]}
PEERS = {"from": [block("10.0.0.0/8", "10.1.0.0/16"), pods(app="web")]}
GOOD: tuple[Callable[[int], Manifest], ...] = (
    lambda n: pod(f"bad/p{n}", f"10.99.{n // 250}.{n % 250 + 1}", ports=[{"name": "h", "containerPort": 80}]),
    lambda n: ingress("bad", f"p{n}", {**PEERS, **PORT_80}, name=f"np{n}"),
    lambda n: ingress("bad", None, PEERS, name=f"all{n}"),
    lambda n: namespace(f"bad{n}", team="red"),
)


def spoil(raw: Manifest, rng: random.Random) -> Manifest:
    """Put junk into an object at one place or a few; it keeps its name."""
    spoiled: Manifest = json.loads(json.dumps(raw))
    for _ in range(rng.randrange(1, 4)):
        places = [place for place in _places(spoiled) if place[1] not in ("name", "namespace", "metadata")]
        holder, key = rng.choice(places)
        holder[key] = json.loads(json.dumps(rng.choice(JUNK)))
    return {**spoiled, "kind": raw["kind"]}


def _places(value: object) -> list[tuple[Manifest, str]]:
    match value:
        case dict():
            inner = [place for item in value.values() for place in _places(item)]
            return [*((value, key) for key in value if key != "kind"), *inner]
        case list():
            return [place for item in value for place in _places(item)]
        case _:
            return []


@pytest.mark.kernel
async def test_a_thousand_malformed_objects_harm_nobody_else(
    nothing_left: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is understood as far as it goes, or not at all; and told."""
    rng = random.Random("malformed")
    with make_lab() as lab, lab.nodes[NODE].entered():
        async with open_site(lab, 13, tmp_path) as site:
            good = site.churn.objects()
            site.agent.start()
            await site.settle()
            began = time.monotonic()
            with flows(lab) as running:
                for number in range(MALFORMED):
                    raw = spoil(rng.choice(GOOD)(number), rng)
                    site.churn.emulator.put(PATHS[raw["kind"]], raw)
                    if number % 50 == 0:
                        await asyncio.sleep(0.01)
                items = [decode_live(raw).item for raw in site.churn.objects()]
                await site.settled(ClusterState.of(item for item in items if item is not None))
                took = time.monotonic() - began
                await site.judge(good)
                await running.arrive()
                assert (running.leaks([]), running.losses(began)) == (0, [])
            _, text = await asyncio.to_thread(ask, lab.nodes[NODE], "/debug/state")
            told = sum(len(known["mistakes"]) for known in json.loads(text)["objects"])
    assert told > MALFORMED / 3
    show(
        capsys,
        [(f"{MALFORMED} malformed objects", f"{took:.1f} s, {told} told of, no packet leaked or lost")],
    )


def long_policy(count: int) -> list[Manifest]:
    """A policy of many rules, each a block and a port of its own, and a pod that it does not select."""
    rules = [{"from": [block(f"{source(n)}/32")], "ports": [{"port": 1 + n}]} for n in range(count)]
    return [namespace("x"), pod("x/a", "10.244.1.1"), pod("x/b", "10.244.1.2"), ingress("x", "a", *rules)]


def source(n: int) -> str:
    return f"198.{18 + n // 65536}.{n // 256 % 256}.{n % 256}"


def policy_of_pods(count: int) -> list[Manifest]:
    """A policy of many rules, each a pod and a port of its own, and these pods."""
    peers = [pod(f"x/p{n}", source(n), node="n2") for n in range(count)]
    rules = [{"from": [pods(pod=f"p{n}")], "ports": [{"port": 1 + n}]} for n in range(count)]
    return [namespace("x"), pod("x/a", "10.244.1.1"), *peers, ingress("x", "a", *rules)]


def many_policies(count: int = POLICIES) -> list[Manifest]:
    """A namespace with many policies, each for one pod of a few hundred, and a neighbour with one."""
    crowd = []
    for n in range(count):
        rule = {"from": [pods(pod=f"p{n % 299}")], "ports": [{"port": n % 999 + 1}]}
        crowd.append(ingress("crowd", f"p{n % 300}", rule, name=f"np{n}"))
    members = [
        pod(f"crowd/p{n}", f"10.244.{n // 250}.{n % 250 + 1}", node=f"n{n % 3 + 1}") for n in range(300)
    ]
    neighbour = [
        pod("x/a", "10.245.1.1"),
        pod("x/b", "10.245.1.2"),
        ingress("x", "a", {"ports": [{"port": 80}]}),
    ]
    return [namespace("crowd"), namespace("x"), *members, *neighbour, *crowd]


@pytest.mark.parametrize("world", [long_policy, policy_of_pods, many_policies])
def test_the_work_to_compile_grows_with_the_rules_and_not_with_their_square(
    world: Callable[[int], list[Manifest]],
) -> None:
    few, many = (
        lines_run(partial(build, decoded(world(count)), NODE, UNBOUNDED))
        for count in (RULES // 16, RULES // 2)
    )
    assert many / few < 12


@pytest.mark.kernel
def test_a_policy_of_ten_thousand_rules_is_enforced(
    nothing_left: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the budgets allow it: by default it is over them, as others' changes would wait for it."""
    assert [over.policy for over in build(decoded(long_policy(RULES)), NODE, OPTIONS).over] == ["x/p"]
    began = time.monotonic()
    built = build(decoded(long_policy(RULES)), NODE, UNBOUNDED)
    compiled = time.monotonic()
    script = print_replace(built.table)
    node = Namespace("node")
    loaded = time.monotonic()
    nft(node, script)
    ended = time.monotonic()
    node.close()
    simulator = Simulator(built.table)
    for n in (0, 1, 4999, RULES - 1):
        for port, target, verdict in ((1 + n, "1", "accept"), (2 + n, "1", "drop"), (2 + n, "2", "accept")):
            met = packet(Connection(source(n), f"10.244.1.{target}", "TCP", port), NODE, {})
            assert met is not None
            assert simulator.evaluate(met).verdict == verdict
    text = f"compiled in {compiled - began:.1f} s, loaded by nft in {ended - loaded:.1f} s"
    show(capsys, [(f"a policy of {RULES} rules", text)])


@pytest.mark.slow
def test_a_namespace_of_fifty_thousand_policies_harms_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """In a process of its own, whose memory is measured."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    decoded, compiled, memory = map(float, done.stdout.split())
    assert memory < MEMORY
    text = f"decoded in {decoded:.1f} s, compiled in {compiled:.1f} s, {memory:.0f} MiB"
    show(capsys, [(f"{POLICIES} policies in a namespace", text)])


MEASURE = f"from {__name__} import measure; measure()"


def measure() -> None:
    """Compile the crowd, look at its neighbour, and print what it took."""
    raws = many_policies()
    began = time.monotonic()
    items = [decode_live(raw).item for raw in raws]
    decoded = time.monotonic()
    built = build(ClusterState.of(item for item in items if item is not None), NODE, OPTIONS)
    compiled = time.monotonic()
    simulator = Simulator(built.table)
    for port, verdict in ((80, "accept"), (81, "drop")):
        met = packet(Connection("10.245.1.2", "10.245.1.1", "TCP", port), NODE, {})
        assert met is not None
        assert simulator.evaluate(met).verdict == verdict
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{decoded - began} {compiled - decoded} {memory}\n")
