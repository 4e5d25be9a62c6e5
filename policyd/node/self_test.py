"""Would this kernel take what policyd compiles? A small ruleset with everything in it is tried, not applied.

It comes from the compiler itself, so it has what the compiler has. Changes nothing.
"""

from __future__ import annotations

import platform
from dataclasses import replace

from policyd.applier.backend import Nft, NftRefused
from policyd.cluster.state import ClusterState
from policyd.kube.objects import (
    Cidr,
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    Pod,
    PodPeer,
    PolicyPort,
    PolicyRule,
    Requirement,
)
from policyd.pipeline import build
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


def script(options: Options) -> str:
    """The ruleset of the dry run: whatever the compiler can say with these options, at least once."""
    return print_replace(table(options))


def table(options: Options) -> Table:
    """The same as a value."""
    pods = [_pod(name, number) for number, name in enumerate(_PODS, start=1)]
    policies = [
        NetworkPolicy("test", name, LabelSelector((Requirement("pod", "In", (name,)),)), rules, rules)
        for name, rules in (("web", _FEW), ("db", _MANY))
    ]
    guarded = replace(options, table=TABLE, pod_interfaces=("cni0", "veth*"))
    return build(ClusterState.of((*pods, *policies)), NODE, guarded).table


async def refusal(nft: Nft, options: Options) -> str | None:
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
