"""What only a real API server and a real etcd can do to a reflector."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from policyd.kube.kind import Kinds
from policyd.kube.registry import KINDS, NETWORK_POLICY
from policyd.watcher.transport import Kubeconfig, Timeouts
from tests.cluster.control_plane import ControlPlane
from tests.support.widget import WIDGET, WITH_WIDGETS
from tests.watcher.emulator import NAMESPACES, NODES, PODS, POLICIES
from tests.watcher.objects import namespace, pod
from tests.watcher.scene import scene
from tests.watcher.server import RealServer

pytestmark = pytest.mark.cluster


async def test_a_compacted_version_means_a_new_list(own_control_plane: ControlPlane) -> None:
    server = RealServer(own_control_plane)
    await server.put(PODS, pod("a"), pod("b"))
    async with scene(server.access, "Pod") as working:
        await working.synced()
        old = working.reflector._version
        own_control_plane.apiserver.stop()
        await working.restarted("unreachable")
        await asyncio.to_thread(own_control_plane.apiserver.start)
        await asyncio.to_thread(own_control_plane.wait_until_ready)
        await server.delete(PODS, "shop/a")
        await asyncio.to_thread(own_control_plane.compact)
        working.reflector._version = old  # as if we had been away for all that time
        await asyncio.to_thread(own_control_plane.apiserver.restart)
        await asyncio.to_thread(own_control_plane.wait_until_ready)
        await working.knows(await server.objects(PODS))
        assert working.reflector.status().restarts["expired"] >= 1


async def test_a_restored_backup_is_believed(own_control_plane: ControlPlane) -> None:
    """Versions go back; the new server keeps a watch from its future open, and silent."""
    server = RealServer(own_control_plane)
    await server.put(PODS, pod("kept"), pod("changed"))
    backup = await asyncio.to_thread(own_control_plane.snapshot)
    async with scene(server.access, "Pod", timeouts=Timeouts(read=3.0)) as working:
        await working.synced()
        await server.put(PODS, pod("changed", labels={"new": "yes"}), *(pod(f"lost{n}") for n in range(20)))
        await server.delete(PODS, "shop/kept")
        await working.until(lambda: "shop/kept" not in working.reflector.objects)
        await asyncio.to_thread(own_control_plane.restore, backup)
        await working.knows(await server.objects(PODS))
        assert {"shop/kept", "shop/changed"} == set(working.reflector.objects)


async def test_new_certificates_are_picked_up(own_control_plane: ControlPlane) -> None:
    server = RealServer(own_control_plane)
    await server.put(PODS, pod("a"))
    async with scene(server.access, "Pod") as working:
        await working.synced()
        working.clock[0] += 10
        await asyncio.to_thread(own_control_plane.replace_certificates)
        await server.put(PODS, pod("b"))
        await working.knows(await server.objects(PODS))


async def test_list_and_watch_are_all_the_rights_that_are_needed(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    server = RealServer(plane)
    await server.put(PODS, pod("a"))
    await server.put(NAMESPACES, namespace("blue"))
    plane.authority.sign("agent", "/CN=agent")
    access = Kubeconfig(str(plane.authority.write_access("agent", plane.server)))
    async with scene(access, "Pod") as working:
        await working.restarted("forbidden", 2)
        assert working.reflector.status().forbidden
        plural = "pods,nodes,namespaces,networkpolicies.networking.k8s.io"
        await asyncio.to_thread(
            plane.kubectl, "create", "clusterrole", "agent", "--verb=list,watch", f"--resource={plural}"
        )
        await asyncio.to_thread(
            plane.kubectl, "create", "clusterrolebinding", "agent", "--clusterrole=agent", "--user=agent"
        )
        await working.synced()
        await working.knows(await server.objects(PODS))
    for kind, path in zip(KINDS, (NAMESPACES, POLICIES, NODES, PODS), strict=True):
        async with scene(access, kind.name) as working:
            await working.synced()
            await working.knows(await server.objects(path))
            assert working.reflector.status().restarts == {}


async def test_a_kind_that_is_not_installed_is_missing(control_plane: ControlPlane) -> None:
    version = "policy.networking.k8s.io/v1alpha2"
    other = dataclasses.replace(NETWORK_POLICY, version=version, plural="clusternetworkpolicies")
    access = RealServer(control_plane).access
    async with scene(access, "NetworkPolicy", kinds=Kinds((other,))) as working:
        await working.restarted("missing", 2)
        assert working.reflector.status().missing


async def test_who_may_not_list_an_absent_kind_hears_from_discovery_that_it_is_absent(
    control_plane: ControlPlane,
) -> None:
    """RBAC refuses before anybody looks for the kind; discovery is for everybody who is known."""
    control_plane.authority.sign("stranger", "/CN=stranger")
    access = Kubeconfig(str(control_plane.authority.write_access("stranger", control_plane.server)))
    async with scene(access, "Widget", kinds=WITH_WIDGETS) as working:
        await working.synced()
        async with working.connection.get(WIDGET.path, (), "application/json", 30.0) as answer:
            assert (answer.status, working.reflector.status().absent) == (403, True)
