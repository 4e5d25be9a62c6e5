"""The examination of a node for `policyd doctor`: each thing that policyd needs, in a line.

Changes nothing, but for a table of its own without hooks and rules that is gone at the end.

Whatever cannot be looked at is said to be so, and the rest is looked at nevertheless.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from policyd.agent_api import AgentState
from policyd.applier.backend import Nft
from policyd.applier.choose import open_backend
from policyd.applier.probe import Capabilities, probe_nft
from policyd.cni.plugins import read_plugins
from policyd.config import Settings
from policyd.doctor.agent_client import NoAnswer, ask_state
from policyd.doctor.api_line import api_line
from policyd.doctor.disk import read_disk
from policyd.doctor.kernel_table import KernelTable, read_table
from policyd.doctor.node_lines import Line, State, network_line, node_lines
from policyd.doctor.status_lines import bindings, holdings, own_pods
from policyd.errors import EnvironmentRefused
from policyd.netlink.claim import holder
from policyd.node.element_trial import elements_unsupported_reason
from policyd.node.facts import read_facts
from policyd.node.findings import pod_bridges
from policyd.node.self_test import bridge_unsupported_reason, unsupported_reason
from policyd.version import VERSION

#: What rules need of a kernel that is built in modules; others come along with these.
MODULES = ("nf_tables", "nft_ct", "nft_fib_inet", "nft_reject_inet", "nf_conntrack_netlink", "br_netfilter")
_MODULES = Path("/sys/module")


async def examine(settings: Settings) -> tuple[Line, ...]:
    """Look at everything, from the kernel up."""
    kernel = f"{platform.release()}, {platform.machine()}"
    found = [
        Line("policyd", "ok", f"{VERSION}, on Python {platform.python_version()}"),
        Line("kernel", "ok", kernel),
        _modules(),
    ]
    table = await _kernel(settings, found)
    addresses = table.addresses if isinstance(table, KernelTable) else ()
    answer = await ask_state(settings.socket())
    inside = answer.inside.addresses if isinstance(answer, AgentState) else ()
    try:
        facts = await asyncio.to_thread(read_facts, addresses)
        found.extend(node_lines(facts, settings.pod_interfaces, settings.other_engines, inside))
        plugins = await asyncio.to_thread(read_plugins, Path(settings.cni_conf_dir))
        found.append(network_line(facts, plugins))
        if pod_bridges(facts, settings.pod_interfaces):
            found = [_with_pods_on_bridges(line) for line in found]
    except EnvironmentRefused as error:
        found.append(Line("node", "unseen", str(error)))
    found.extend(_bindings(answer))
    said = {line.text for line in found}
    found.extend(line for line in _agent(answer, settings, table) if line.text not in said)
    found.append(_disk(settings))
    found.append(await api_line(settings))
    return tuple(found)


async def _kernel(settings: Settings, found: list[Line]) -> KernelTable | str | None:
    """What nft and the kernel say, added to what was found; the table, or why it cannot be read."""
    try:
        nft = await open_backend(settings.backend)
    except EnvironmentRefused as error:
        # Root is refused for a reason; root would get another answer.
        found.append(Line("nft", "FAIL" if os.geteuid() == 0 else "unseen", str(error)))
        unseen = ("ruleset", "ports", "elements", "table")
        found.extend(Line(name, "unseen", "nft cannot be asked") for name in unseen)
        return str(error)
    try:
        found.extend(await _nft(nft, settings))
        table = await read_table(nft, settings.table)
    except EnvironmentRefused as error:
        found.append(Line("table", "FAIL", str(error)))
        return str(error)
    finally:
        await nft.close()
    found.append(_table(table, settings.table))
    return table


def _modules() -> Line:
    loaded = [name for name in MODULES if (_MODULES / name).exists()]
    others = [name for name in MODULES if name not in loaded]
    said = [f"loaded: {', '.join(loaded)}"] if loaded else []
    said += [f"built in, or not loaded: {', '.join(others)}"] if others else []
    return Line("modules", "ok", "; ".join(said))


async def _nft(nft: Nft, settings: Settings) -> tuple[Line, ...]:
    found = await probe_nft(nft)
    unsupported = await unsupported_reason(nft, settings.options())
    unguarded = await bridge_unsupported_reason(nft, settings.options())
    unwritten = await elements_unsupported_reason(nft)
    return (
        Line("backend", "warn" if "not usable" in found.backend else "ok", found.backend),
        _version(found),
        Line(
            "ruleset",
            "FAIL" if unsupported else "ok",
            unsupported or "the kernel takes what policyd enforces with",
        ),
        _ports(unguarded),
        Line("elements", "warn" if unwritten else "ok", unwritten or "those written by hand arrive"),
    )


def _ports(unguarded: str | None) -> Line:
    if unguarded:
        return Line("ports", "warn", f"those of bridges are not guarded: {unguarded}")
    return Line("ports", "ok", "the kernel takes the table that guards those of bridges")


def _with_pods_on_bridges(line: Line) -> Line:
    """What is worth a warning on a node that routes its pods is wrong on one that bridges them."""
    return replace(line, state="FAIL") if (line.name, line.state) == ("ports", "warn") else line


def _version(found: Capabilities) -> Line:
    text = found.sentences()[1].removeprefix("nft: ")
    doubtful = "(" in text or not found.nft or not found.json
    return Line("nft", "warn" if doubtful else "ok", text if doubtful else f"{text}, with JSON")


def _table(found: KernelTable | None, name: str) -> Line:
    if found is None:
        return Line("table", "warn", f"there is no table inet {name}: nothing is enforced")
    if found.foreign:
        return Line("table", "FAIL", f"somebody else wrote into {found.names}: {found.foreign[0]}")
    return Line("table", "ok", f"{found.names}: {holdings(found)}")


def _bindings(answer: AgentState | NoAnswer) -> Iterator[Line]:
    """How many pods are bound to their interfaces; without an agent the table's line counts addresses."""
    if isinstance(answer, AgentState) and answer.interfaces is not None:
        state: State = "warn" if answer.interfaces.unbound else "ok"
        yield Line("bindings", state, f"of this node's pods {bindings(answer.interfaces)}")
    if isinstance(answer, AgentState) and answer.own_pods.kubelet is not None:
        yield Line("pods", "ok", f"this node's pods are known by {own_pods(answer.own_pods)}")
    if isinstance(answer, AgentState) and answer.inside.pods:
        named = f"{answer.inside.pods} pods of networks that this node does not see, or may not"
        yield Line("inside", "ok", f"{named}, are judged in their own network namespaces, too")


def _agent(
    answer: AgentState | NoAnswer, settings: Settings, table: KernelTable | str | None
) -> Iterator[Line]:
    if isinstance(answer, NoAnswer):
        yield _silent(answer.text, holder(settings.table), table)
        return
    if answer.enforcing:
        yield Line("agent", "ok", "it answers, and enforces what the objects say")
    else:
        yield Line("agent", "FAIL", "it answers, but what is in force may not be what the objects say")
    for condition in answer.conditions:
        yield Line("agent", "FAIL" if condition.degraded else "warn", condition.text)


def _silent(why: str, who: str, table: KernelTable | str | None) -> Line:
    """Where no agent answers, it depends on what there is whether that is wrong."""
    if who:
        return Line("agent", "FAIL", f"one is at work{who}, but {why}: --run-dir names where it can be asked")
    match table:
        case KernelTable():
            return Line(
                "agent",
                "FAIL",
                f"{why}, so changes of policies do not arrive: `policyd run` starts one",
            )
        case None:
            return Line("agent", "warn", f"{why}, and none has been here: `policyd run` starts one")
        case str():
            return Line("agent", "warn", f"{why}: `policyd run` starts one")
        case _:
            assert_never(table)


def _disk(settings: Settings) -> Line:
    found = read_disk(settings)
    if found is None:
        text = (
            f"{settings.state_dir} holds no ruleset" if settings.state_dir else "no directory is configured"
        )
        return Line("state", "ok", text)
    if isinstance(found, int):
        return Line("state", "ok", f"{settings.state_dir} holds generation {found}, for after a reboot")
    return Line("state", "warn", found)
