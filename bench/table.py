"""The rows of `make bench-full`, their aims, and what is measured elsewhere.

To add a measurement: a method of `Runs` that remembers it, and a row for each figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench.rows import NONE, Aim, Elsewhere, Row
from bench.runs import AIMED, CHURN_RATE, FOREIGN_RANGES, Family, Kind, Lived, Runs
from bench.scenarios import LARGE, Scale

#: Numbers of policies that packets meet; the bench in few minutes takes only one of them.
POLICIES = (1, 10, 100, 1_000, 10_000)
QUICK_POLICIES = 1_000
LOCAL_PODS = (10, 100, 250)
SCALES = (Scale(1_000, 200, 100), LARGE, AIMED)
#: What `make bench` measures, in minutes.
QUICK = (
    "offline",
    *(f"packets/{kind}-v{f}/{QUICK_POLICIES}" for kind in ("new", "known", "teams") for f in (4, 6)),
)

RunsRow = Row[Runs]

ELSEWHERE = (
    Elsewhere(
        "cluster/10000",
        "real cluster, 10 000 pods, 1 000 policies: API answer to the first packet that meets it",
        "p50 ≤ 2 ms, p99 ≤ 15 ms",
        "POLICYD_SAMPLES=200 make test-cluster PYTEST_ARGS='-k test_crowd -s'",
    ),
    Elsewhere(
        "cluster/handful",
        "real cluster, a handful of pods: API answer to the first packet that meets it",
        "p50 ≤ 2 ms, p99 ≤ 10 ms",
        "POLICYD_SAMPLES=200 make test-cluster PYTEST_ARGS='-k test_latency -s'",
    ),
)


def rows() -> list[RunsRow]:
    """All of them, the quickest first."""
    return [*_offline(), *_packets(), *_handful(), *_elements(), *(row for s in SCALES for row in _scale(s))]


def _offline() -> Iterator[RunsRow]:
    """What docs/benchmarks.md calls by its budget: 10 000 pods, 1 000 policies, 100 pods on the node."""
    command = "python -m bench.full offline"

    def stage(name: str, what: str, key: str, aim: Aim) -> RunsRow:
        return Row(
            f"offline/{name}", what, "s", aim, lambda runs: [r[key] for r in runs.stages(LARGE)], command
        )

    def whole(name: str, what: str, unit: str, bound: float) -> RunsRow:
        return Row(f"offline/{name}", what, unit, Aim(p50=bound), lambda runs: runs.commands()[name], command)

    yield stage("decode", "decode JSON", "decode", Aim(p50=0.5))
    yield stage("resolve", "resolve and compile", "compile", Aim(p50=0.5))
    yield stage("apply", "apply, first, through the library", "apply library", Aim(p50=0.3))
    yield stage("apply-program", "apply, first, through the program", "apply program", Aim(p50=0.3))
    yield stage("change", "apply, one policy less, through the library", "change library", NONE)
    yield whole("compile", "policyd compile, whole", "s", 1.5)
    yield whole("compile-memory", "policyd compile, most memory", "MiB", 250)
    yield whole("version", "policyd --version", "s", 0.1)
    yield whole("directory", "policyd compile of a directory of 11 objects", "s", 0.3)


def _packets() -> Iterator[RunsRow]:
    """Against connection tracking alone, in pairs: the ratio; and nanoseconds of both for one number."""
    families: tuple[Family, ...] = (4, 6)
    for family in families:
        for policies in POLICIES:
            yield _ratio("new", family, policies, 1.10)
        yield _ratio("teams", family, QUICK_POLICIES, 1.10)
        for pods in LOCAL_PODS:
            yield _ratio("among", family, pods, 1.10)
        for policies in POLICIES[:-1]:  # 10 000 in a row: minutes
            yield _ratio("walked", family, policies)
        for pods in LOCAL_PODS:
            yield _ratio("jumps", family, pods)
        for policies in (POLICIES[0], QUICK_POLICIES, POLICIES[-1]):
            yield _ratio("known", family, policies, 1.03)
        yield _ratio("connect", family, QUICK_POLICIES, 1.10)
        yield _ratio("bulk", family, QUICK_POLICIES, 1.03)
        yield _nanoseconds(family, "alone", 0)
        yield _nanoseconds(family, "judged", 1)
        yield _flat("flat", "new", "policies", family, POLICIES)
        yield _flat("flat-pods", "among", "pods of the node", family, LOCAL_PODS)


def _ratio(kind: Kind, family: Family, number: int, bound: float | None = None) -> RunsRow:
    packet = {
        "new": "new flow",
        "teams": "new flow, policies name teams",
        "among": "new flow to one of so many pods of the node",
        "known": "packet of an established flow",
        "connect": "TCP connection, opened and closed",
        "bulk": "TCP, bytes over one connection",
        "walked": "new flow, others' shape: a rule and a set for each policy, in a row",
        "jumps": "new flow, others' shape: a jump for each pod of the node, in a row",
    }[kind]
    name = f"packets/{kind}-v{family}/{number}"
    what = f"IPv{family}, {packet}: ratio to connection tracking alone"
    command = f"python -m bench.full {name}"
    return Row(name, what, "ratio", Aim(p50=bound), lambda runs: runs.ratios(kind, family, number), command)


def _nanoseconds(family: Family, name: str, part: int) -> RunsRow:
    name = f"packets/{name}-v{family}/{QUICK_POLICIES}"
    what = f"IPv{family}, new flow, " + ("with policies" if part else "connection tracking alone")
    command = f"python -m bench.full {name}"
    return Row(
        name, what, "ns", NONE, lambda runs: runs.packets("new", family, QUICK_POLICIES)[part], command
    )


def _flat(name: str, kind: Kind, counted: str, family: Family, numbers: tuple[int, ...]) -> RunsRow:
    name = f"packets/{name}-v{family}"
    what = f"IPv{family}, new flow: ratio at the worst number of {counted} to that at the best"
    command = f"python -m bench.full {name}"
    return Row(
        name, what, "ratio", Aim(most=1.03), lambda runs: runs.flatness(kind, family, numbers), command
    )


def _handful() -> Iterator[RunsRow]:
    kinds = {
        "policy-denies": "policy created: denies",
        "policy-deleted-allows": "policy deleted: allows",
        "policy-changed-allows": "policy changed: allows",
        "policy-changed-denies": "policy changed: denies",
        "label-denies": "pod's label: denies",
        "label-allows": "pod's label: allows",
    }
    for name, kind in kinds.items():
        yield Row(
            f"handful/{name}",
            f"100 pods, 20 policies, API event to the first packet that meets it; {kind}",
            "ms",
            Aim(p50=2, p99=10),
            lambda runs, k=kind: [1000 * value for value in runs.handful()[k]],  # type: ignore[misc]
            "python -m bench.full handful",
        )


def _elements() -> Iterator[RunsRow]:
    for foreign in (0, FOREIGN_RANGES):
        for name, what, count in (
            ("add", "added to set-v4", 1),
            ("delete", "deleted from set-v4", 1),
            ("add-5000", "added to set-v4", 5_000),
            ("libnftables", "added to set-v4 by libnftables, wall time", 1),
        ):
            yield Row(
                f"elements/{name}/{foreign}",
                f"an element {what}, {count} at a time, beside {foreign} foreign ranges",
                "µs",
                NONE,
                lambda runs, f=foreign, w=what, c=count: runs.element(f, w, c),  # type: ignore[misc]
                "python -m bench.full elements",
            )


#: The kinds of change of `bench.events`, what they are called, and the aims in ms at the largest scale.
CHANGES = {
    "remote-pod": ("remote pod added", Aim(p50=0.5, p99=3)),
    "local-pod-known": ("pod of the node added, of known isolation", Aim(p50=1)),
    "local-pod-new": ("pod of the node added, of new isolation", Aim(p99=20)),
    "policy-edited": ("policy that selects 100 pods of the node edited", Aim(p50=8, p99=50)),
    "namespace-relabelled": ("namespace relabelled", Aim(p50=2)),
    "crowd-relabelled": ("namespace of 10 000 pods relabelled", Aim(p50=500)),
}


def _scale(scale: Scale) -> Iterator[RunsRow]:
    """An agent at one scale; the aims are for the two larger ones."""
    aimed = scale == AIMED
    yield from _life(scale)
    for name, (what, aim) in CHANGES.items():
        if name == "crowd-relabelled" and not aimed:
            continue
        where = f" ({scale.per_namespace} pods)" if name == "namespace-relabelled" else ""
        text = f"{what}{where}, API event to ruleset in force"
        yield _lived(scale, name, text, "ms", aim if aimed else NONE, partial(_milliseconds, name))
    yield Row(
        f"{scale.pods}/followed",
        "remote pod added or gone, processor, without decoding and writing",
        "ms",
        CHANGES["remote-pod"][1] if aimed else NONE,
        lambda runs: runs.followed(scale),
        f"python -m bench.full {scale.pods}/followed",
    )
    yield Row(
        f"{scale.pods}/cold",
        "compile and first apply (memory to kernel)",
        "s",
        Aim(most=3) if aimed else NONE,
        lambda runs: [r["compile"] + r["apply library"] for r in runs.stages(scale)],
        f"python -m bench.full {scale.pods}/cold",
    )


def _life(scale: Scale) -> Iterator[RunsRow]:
    """What it costs an agent."""
    aimed, large = scale == AIMED, scale == LARGE
    core = Aim(most=1) if large else NONE
    memory = Aim(most=250) if aimed else Aim(most=80) if large else NONE
    row = partial(_lived, scale)
    until = "start of the agent to the first ruleset (JSON to kernel)"
    yield row("ready", until, "s", Aim(most=10) if aimed else NONE, lambda o: [o.ready])
    yield row("ready-cpu", "processor until then, agent + worker", "s", core, lambda o: [o.first.cpu])
    most = "memory at most until then, agent + worker + copies"
    yield row("ready-memory", most, "MB", memory, lambda o: [o.first.most])
    yield row(
        "memory", "memory at most at any time, agent + worker + copies", "MB", memory, lambda o: [o.last.most]
    )
    share = f"processor, agent + worker, under {CHURN_RATE} pod events/s"
    yield row("churn", share, "%", Aim(most=6) if aimed else NONE, lambda o: [o.churn.share])
    probes = "a pod of the node added under these"
    yield row("churn-pod", probes, "ms", NONE, lambda o: [1000 * value for value in o.churn.probes])


def _lived(
    scale: Scale, name: str, what: str, unit: str, aim: Aim, values: Callable[[Lived], Sequence[float]]
) -> RunsRow:
    command = f"python -m bench.full {scale.pods}"
    return Row(f"{scale.pods}/{name}", what, unit, aim, lambda runs: values(runs.lived(scale)), command)


def _milliseconds(kind: str, lived: Lived) -> list[float]:
    return [1000 * value for value in lived.changes[kind]]
