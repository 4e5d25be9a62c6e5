"""Workloads, Services and owners: what is read of them, and what is wrong in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policyd.cluster.state import ClusterState
from policyd.kube.encode import encode_list, without_source
from policyd.kube.objects import KubeObject, NamedPort, Owner
from policyd.kube.registry import ASKED, KINDS, WORKLOADS
from policyd.kube.workloads import CronJob, Service, ServicePort, Workload
from policyd.manifests.load import load_manifest
from tests.cases.form import pod
from tests.oracle import Manifest

TEMPLATE: Manifest = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
}
OWNED = {"kind": "CronJob", "name": "nightly", "uid": "u1", "controller": True, "apiVersion": "batch/v1"}


def workload(kind: str, template: Manifest | None = None, **metadata: Any) -> Manifest:
    version = next(each.version for each in WORKLOADS if each.name == kind)
    spec: Manifest = {"template": TEMPLATE if template is None else template}
    if kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    named = {"name": "web", "namespace": "shop", "labels": {"not": "seen"}, **metadata}
    return {"apiVersion": version, "kind": kind, "metadata": named, "spec": spec}


def service(**spec: Any) -> Manifest:
    metadata = {"name": "web", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def read(*raws: Manifest) -> tuple[tuple[KubeObject, ...], list[str]]:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": raws}, indent=1).encode()
    objects, said = load_manifest(text, "w", kinds=ASKED)
    return objects, [f"{each.line} {each.text}" for each in said]


@pytest.mark.parametrize("kind", WORKLOADS, ids=lambda kind: kind.name)
def test_a_workload_is_its_template(kind: Any) -> None:
    ([found], said) = read(workload(kind.name, uid="u9", ownerReferences=[OWNED]))
    assert isinstance(found, Workload)
    assert type(found) is kind.item
    assert (found.namespace, found.name, found.uid, said) == ("shop", "web", "u9", [])
    assert found.labels == (("app", "web"),)
    assert found.ports == (NamedPort("http", "TCP", 8080),)
    assert found.owners == (Owner("CronJob", "nightly", "u1", controls=True),)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({**workload("Job"), "spec": {}}, "Job shop/web: spec.template: required"),
        (
            {**workload("CronJob"), "spec": {"jobTemplate": {}}},
            "CronJob shop/web: spec.jobTemplate.spec: required",
        ),
        (
            workload("Job", {"metadata": {"labels": {"a": 1}}}),
            "Job shop/web: spec.template.metadata.labels.a: must be a string, not the number 1",
        ),
        (
            workload("Job", {"spec": {"hostNetwork": "yes"}}),
            'Job shop/web: spec.template.spec.hostNetwork: must be true or false, not the string "yes"',
        ),
        (
            workload("Job", {"spec": {"containers": [{"ports": [{"name": "a", "containerPort": 0}]}]}}),
            "spec.containers[0].ports[0].containerPort: must be a port number from 1 to 65535",
        ),
        (
            {**workload("Deployment"), "apiVersion": "extensions/v1beta1"},
            "Deployment shop/web: apiVersion: extensions/v1beta1 no longer exists: use apps/v1",
        ),
        (
            service(ports=[{"port": 80, "targetPort": "not a name"}]),
            "Service shop/web: spec.ports[0].targetPort",
        ),
        (service(ports=[{"port": 0}]), "Service shop/web: spec.ports[0].port: must be a port number"),
        (service(clusterIP="10.0.0.300"), "Service shop/web: spec.clusterIP"),
    ],
)
def test_a_mistake_has_a_place(raw: Manifest, told: str) -> None:
    objects, [said] = read(raw)
    assert objects == ()
    assert told in said
    assert int(said.split()[0]) > 1


def test_a_service_says_which_port_of_the_pods_is_meant() -> None:
    raw = service(
        selector={"app": "web"},
        clusterIPs=["10.96.0.9", "fd00::9"],
        ports=[{"port": 80, "targetPort": "http", "name": "web"}, {"port": 53, "protocol": "UDP"}],
    )
    ([found], said) = read(raw)
    assert said == []
    assert isinstance(found, Service)
    assert found.selector == (("app", "web"),)
    assert found.ports == (ServicePort("web", "TCP", 80, "http"), ServicePort("", "UDP", 53, 53))
    assert found.addresses == ("10.96.0.9", "fd00::9")


@pytest.mark.parametrize("spec", [{}, {"selector": {}}, {"type": "ExternalName", "selector": {"a": "b"}}])
def test_a_service_that_selects_nothing_has_no_selector(spec: Manifest) -> None:
    ([found], _) = read(service(**spec, clusterIP="None"))
    assert isinstance(found, Service)
    assert (found.selector, found.addresses) == (None, ())


def test_what_is_asked_about_is_written_and_read_again() -> None:
    owned = pod("shop/web-0", "10.0.0.1")
    owned["metadata"]["ownerReferences"] = [OWNED]
    objects, said = read(
        owned,
        service(selector={"app": "web"}, clusterIP="10.96.0.9", ports=[{"port": 80, "targetPort": "http"}]),
        *(workload(kind.name, ownerReferences=[OWNED]) for kind in WORKLOADS),
        workload("DaemonSet", {"spec": {"hostNetwork": True}}, name="other"),
    )
    assert said == []
    state = ClusterState.of((without_source(item, ASKED) for item in objects), kinds=ASKED)
    again, _ = load_manifest(json.dumps(encode_list(state.objects(), ASKED)).encode(), "again", kinds=ASKED)
    assert ClusterState.of((without_source(item, ASKED) for item in again), kinds=ASKED) == state


def test_an_agent_follows_none_of_them_and_reads_no_owners() -> None:
    assert not [kind for kind in KINDS if kind in WORKLOADS or kind.item is Service]
    owned = pod("shop/web-0", "10.0.0.1")
    owned["metadata"]["ownerReferences"] = [OWNED]
    text = json.dumps({"kind": "List", "items": [owned, workload("CronJob")]}).encode()
    objects, said = load_manifest(text, "w")
    assert said == ()
    assert not isinstance(objects[0], CronJob)
    assert [getattr(item, "owners", None) for item in objects] == [()]
