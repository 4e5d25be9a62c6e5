"""Would this kernel take what policyd compiles? Small rulesets with everything in them are tried.

They come from the compiler itself, so they have what the compiler has. What the table in family bridge needs
is asked apart: a kernel without it enforces all the rest. Nothing is applied.
"""

from __future__ import annotations

import platform
from dataclasses import replace

from policyd.applier.backend import Nft, NftRefused
from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.kube.objects import (
    Cidr,
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    Node,
    Pod,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Requirement,
)
from policyd.pipeline import build
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options

#: A table that nobody has: the dry run touches nobody's.
TABLE = "policyd-self-test"
NODE = "self-test"
_PODS = ("web", "db", "api", "job")
_WEB, _DB, _API, _JOB = (PodPeer(None, LabelSelector((Requirement("pod", "In", (name,)),))) for name in _PODS)
_RANGES4 = (IPBlock(Cidr(4, 0xC633_6400, 24), (Cidr(4, 0xC633_6410, 28),)), IPBlock(Cidr(4, 0xCB00_7100, 24)))
_RANGES6 = (
    IPBlock(Cidr(6, 0x2001_0DB8 << 96, 32), (Cidr(6, 0x2001_0DB8_0001 << 80, 48),)),
    IPBlock(Cidr(6, 0xFD << 120, 8)),
)
_TCP = (PolicyPort("TCP", 80), PolicyPort("TCP", 8000, 8999))
_OTHERS = (PolicyPort("UDP", 53), PolicyPort("SCTP"))
#: Few classes of addresses become sets, many become maps; so one policy has few and the other many.
_FEW = (PolicyRule((_DB, *_RANGES4, *_RANGES6), _TCP),)
_MANY = (
    PolicyRule((_WEB, _RANGES4[0], _RANGES6[0]), _TCP),
    PolicyRule((_DB, _RANGES4[1], _RANGES6[1]), _OTHERS),
    PolicyRule((_API,), (*_TCP, *_OTHERS[:1], PolicyPort("SCTP", 3868))),
    PolicyRule((_JOB,), None),
)


#: A pod by its address alone, one that is routed, and two ports of a bridge.
_ROUTED = Attachments(
    {
        "test/job": Attachment("veth1"),
        "test/db": Attachment("veth2", "cni0", 0x02_0000_0000_02),
        "test/api": Attachment("veth3", "cni0"),
    },
    tunnels=(4790,),
)
_BRIDGED = replace(_ROUTED, bridges=("cni0",), ports=("veth2", "veth3", "veth4"), others=("eth1",))


def script(options: Options) -> str:
    """The rulesets of the dry run: whatever the compiler can say with these options, at least once.

    Without what it says in family bridge.
    """
    return "".join(map(print_replace, tables(options)))


def bridge_script(options: Options) -> str:
    """The rulesets of the dry run for pods on bridges."""
    return "".join(map(print_replace, bridged_tables(options)))


def tables(options: Options) -> tuple[Table, ...]:
    """The same as values."""
    return _tables(options, _ROUTED)


def bridged_tables(options: Options) -> tuple[Table, ...]:
    """The same as values, each with the table next to it."""
    return _tables(options, _BRIDGED)


def _tables(options: Options, attachments: Attachments) -> tuple[Table, ...]:
    """One where the interfaces of pods are configured, and one where they are not."""
    pods = [_pod(name, number) for number, name in enumerate(_PODS, start=1)]
    policies = [
        NetworkPolicy("test", name, LabelSelector((Requirement("pod", "In", (name,)),)), rules, rules)
        for name, rules in (("web", _FEW), ("db", _MANY))
    ]
    node = Node(NODE, (), ("192.0.2.100", "2001:db8::64"))
    state = replace(ClusterState.of((node, *pods, *policies)), attachments=attachments)
    closed = replace(options, table=TABLE, pod_interfaces=("cni0", "veth*"))
    open_ = replace(options, table=f"{TABLE}-open", pod_interfaces=())
    return tuple(build(state, NODE, each).table for each in (closed, open_))


async def unsupported_reason(nft: Nft, options: Options) -> str | None:
    """What the kernel refuses of it, as a sentence with what to do; None if it takes everything.

    Raises EnvironmentRefused when the kernel cannot be asked.
    """
    try:
        await nft.check(script(options))
    except NftRefused as error:
        return (
            f"the kernel {platform.release()} refuses what policyd enforces with "
            f"({error.statement or 'the ruleset'}: {error.reason}): it needs nf_tables in the family inet, "
            "with the expressions fib, ct and reject, verdict maps, intervals and concatenations"
        )
    return None


async def bridge_unsupported_reason(nft: Nft, options: Options) -> str | None:
    """What the kernel refuses of what is in force for pods on bridges; None if it takes everything.

    Raises EnvironmentRefused when the kernel cannot be asked.
    """
    try:
        await nft.check(bridge_script(options))
    except NftRefused as error:
        return (
            f"the kernel {platform.release()} refuses a table in family bridge "
            f"({error.statement or 'the ruleset'}: {error.reason}): it needs nf_tables_bridge "
            "(CONFIG_NF_TABLES_BRIDGE)"
        )
    return None


def _pod(name: str, number: int) -> Pod:
    return Pod(
        "test",
        name,
        uid=name,
        labels=(("pod", name),),
        node=NODE,
        host_network=False,
        terminal=False,
        deleting=False,
        started="",
        v4=(192 << 24 | 2 << 8) + number,
        v6=0x20010DB8FFFF << 80 | number,
        ports=(),
    )
