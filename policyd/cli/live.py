"""`--live`: the cluster as it is now, read-only, by the watcher that the agent has, too.

Imported only for `--live`: the offline commands know nothing of a Kubernetes client. What the watcher would
log is printed as everything else is on the command line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from policyd.cli import terminal
from policyd.cli.loaded import LoadedCluster
from policyd.cli.setting_flags import settings_of
from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.cluster.events import Synced, Upsert
from policyd.config import Settings
from policyd.doctor.agent_client import NoAnswer, ask_attachments, settings_as_agent
from policyd.errors import Diagnostic, EnvironmentRefused
from policyd.kube.decode import decode_live
from policyd.kube.kind import Kinds
from policyd.kube.registry import (
    CLUSTER_NETWORK_POLICY,
    KINDS,
    NAMESPACE,
    NETWORK_POLICY,
    NODE,
    POD,
    SERVICE,
    WORKLOADS,
)
from policyd.kube.syntax import printable
from policyd.object_store import ObjectStore
from policyd.watcher.failure import WatchError
from policyd.watcher.reflector import Reflector
from policyd.watcher.status import Trouble
from policyd.watcher.transport import Connection, connect, find_access
from policyd_compiler.options import Options

#: How long the first complete lists may take; 100 000 pods take some 15 s.
PATIENCE = 60.0
#: What no patience fixes.
HOPELESS = ("forbidden", "unauthorized", "untrusted")
#: Without these there is nothing to answer with.
_NEEDED = frozenset((POD.name, NETWORK_POLICY.name))


def load_live(args: Namespace, kinds: Kinds = KINDS, *, lenient: bool = False) -> LoadedCluster:
    """List everything of these kinds once. `lenient`: what may not be listed is left out, and said to be.

    Raises EnvironmentRefused with what the API server, or the way there, said.
    """
    # Nobody has set up logging, and Python would print sentences without what they are about.
    logging.getLogger("policyd").addHandler(logging.NullHandler())
    return asyncio.run(_load(args, kinds, lenient=lenient))


async def _load(args: Namespace, kinds: Kinds, *, lenient: bool) -> LoadedCluster:
    settings = await _settings(args)
    access = find_access(settings.kubeconfig or None, settings.context or None, os.environ)
    connection = await connect(access)
    only = ""
    try:
        listed = await _list(connection, kinds, lenient=lenient)
        if _NEEDED & listed.kept.keys():
            only = args.namespace
            listed = await _list(connection, kinds, lenient=True, namespace=only)
            if missing := _NEEDED & listed.kept.keys():
                reasons = "; ".join(f"{kind}: {listed.kept[kind]}" for kind in sorted(missing))
                raise EnvironmentRefused(
                    f"neither the cluster nor its namespace {only} can be listed (-n names another): "
                    + printable(reasons)
                )
            if NAMESPACE.name in listed.kept and await _get_namespace(connection, listed.store, only):
                del listed.kept[NAMESPACE.name]
    finally:
        await connection.close()
    warnings = tuple(sorted([*_mistakes(listed.reflectors), *_kept(listed.kept, only)]))
    state = listed.store.state()
    if vars(args).get("attachments") is None and settings.node:
        state = replace(state, attachments=await _attachments(settings))
    return LoadedCluster(state, warnings, settings.options(), settings.node or None, only)


@dataclass(frozen=True, slots=True)
class _Listed:
    """What there is; `kept`: kinds that may not be listed, and what the server said."""

    store: ObjectStore
    reflectors: Sequence[Reflector]
    kept: dict[str, str]


async def _list(connection: Connection, kinds: Kinds, *, lenient: bool, namespace: str = "") -> _Listed:
    """List all kinds, of one namespace if it is given. Raises EnvironmentRefused."""
    wake = asyncio.Event()
    store = ObjectStore("", wake, kinds=kinds)
    reflectors = [Reflector(kind, connection, store.apply, namespace=namespace) for kind in kinds]
    tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
    end = time.monotonic() + PATIENCE
    said: set[str] = set()
    kept: dict[str, str] = {}
    try:
        while store.waiting_for:
            wake.clear()
            try:
                async with asyncio.timeout(0.5):
                    await wake.wait()
            except TimeoutError:
                troubles = _troubles(reflectors)
                forbidden = [kind for kind, each in troubles.items() if each.reason == "forbidden"]
                for kind in forbidden if lenient else ():
                    kept[kind] = troubles.pop(kind).text
                    store.apply([Synced(kind)])
                if not namespace and _NEEDED & kept.keys():
                    break  # of one namespace it may be another answer
                _give_up(troubles, late=time.monotonic() > end)
                _say_new(troubles, said)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return _Listed(store, reflectors, kept)


async def _get_namespace(connection: Connection, store: ObjectStore, name: str) -> bool:
    """Read the one Namespace, which may be allowed where a list is not; whether it was."""
    try:
        async with connection.get(f"{NAMESPACE.path}/{name}", (), "application/json", PATIENCE) as answer:
            body = b"".join([chunk async for chunk in answer.chunks])
    except WatchError:
        return False
    found = decode_live(json.loads(body), NAMESPACE).item if answer.status == 200 else None
    if found is not None:
        store.apply([Upsert(name, found)])
    return found is not None


#: What a kind is for that may not be listed.
_MEANING = {
    NAMESPACE.name: "what depends on labels of namespaces is unknown",
    NODE.name: "addresses of nodes are taken for addresses outside",
    CLUSTER_NETWORK_POLICY.name: "what ClusterNetworkPolicies say is in no answer",
    SERVICE.name: "svc/… names nothing",
    **{kind.name: f"pods of a {kind.name} are named alone" for kind in WORKLOADS},
}


def _kept(kept: Mapping[str, str], only: str) -> Iterator[Diagnostic]:
    """What is not known, as it may not be listed."""
    if only:
        text = (
            f"only namespace {only} may be listed: pods of others and their policies are not known, "
            "and what an address means that may be theirs is unknown"
        )
        yield Diagnostic("cluster", 0, 0, "warning", text)
    for kind in sorted(kept.keys() & _MEANING.keys() - _NEEDED):
        yield Diagnostic("cluster", 0, 0, "warning", f"{kind} may not be listed: {_MEANING[kind]}")


async def _attachments(settings: Settings) -> Attachments:
    """What the agent of the node knows of its interfaces, if it is here; nothing elsewhere."""
    found = await ask_attachments(settings.socket(), settings.node)
    if isinstance(found, NoAnswer):
        return UNKNOWN
    if found.pods:
        terminal.print_info(f"the interfaces of {len(found.pods)} pods are as the agent here has them")
    return found


async def _settings(args: Namespace) -> Settings:
    """The settings that the agent here has, by the environment, its file and its own word; flags win.

    What is compiled differently from the default is reported, unless a flag says so.
    """
    loaded = settings_of(args)
    settings = await settings_as_agent(loaded)
    changed = []
    for option in fields(Options):
        value, origin = getattr(settings, option.name), loaded.origins[option.name]
        if value != option.default and origin != "flag":
            text = ",".join(value) if isinstance(value, tuple) else value
            origin = "the agent here" if origin == "default" else origin
            changed.append(f"--{option.name.replace('_', '-')} {text} ({origin})")
    if changed:
        terminal.print_info(printable(f"settings in force: {', '.join(changed)}"))
    return settings


def _troubles(reflectors: Sequence[Reflector]) -> dict[str, Trouble]:
    """Why some kinds cannot be listed, by kind."""
    statuses = (reflector.status() for reflector in reflectors)
    return {status.kind: status.trouble for status in statuses if status.trouble is not None}


def _give_up(troubles: dict[str, Trouble], *, late: bool) -> None:
    if late or any(trouble.reason in HOPELESS for trouble in troubles.values()):
        reasons = "; ".join(f"{kind}: {trouble.text}" for kind, trouble in troubles.items())
        why = printable(reasons) or "the API server is too slow"
        raise EnvironmentRefused(f"the cluster cannot be listed: {why}")


def _say_new(troubles: dict[str, Trouble], said: set[str]) -> None:
    """Print what is waited for: each reason once, as all kinds mostly have the same."""
    for kind, trouble in troubles.items():
        if trouble.reason not in said:
            said.add(trouble.reason)
            terminal.print_info(printable(f"{kind}: {trouble.text}; trying again, for {PATIENCE:g} s in all"))


def _mistakes(reflectors: Sequence[Reflector]) -> Iterator[Diagnostic]:
    """What is not understood. Only warnings: an agent, too, makes the best of what the cluster holds."""
    for reflector in reflectors:
        status = reflector.status()
        for key, mistakes in reflector.mistakes.items():
            for mistake in mistakes:
                closed = mistake.severity == "error" and reflector.kind.policy
                end = "; what is not understood allows nothing" if closed else ""
                yield Diagnostic(f"{status.kind} {printable(key)}", 0, 0, "warning", f"{mistake}{end}")
        if status.trouble is not None and status.trouble.reason == "unread":
            yield Diagnostic(status.kind, 0, 0, "warning", f"none is read: {status.trouble.text}")
        if status.nameless:
            text = f"{status.nameless} without a usable name: left out"
            yield Diagnostic(status.kind, 0, 0, "warning", text)
