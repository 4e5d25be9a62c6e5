"""What Services, Ingress and routes of the Gateway API publish, in `reach --open` and `why`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from policyd.kube.publishing import Backend, Publisher, ReferenceGrant
from policyd.kube.registry import ASKED
from policyd.manifests.load import load_manifest
from tests.cases.form import ingress, namespace, namespaces, pod
from tests.cli.calls import Call, as_list
from tests.oracle import Manifest

CONTROLLER = "ingress-nginx/controller"
NOBODY = "nobody: what publishes it cannot reach it, unless it is on the pods' node"


def made(kind: str, version: str, name: str, **spec: object) -> Manifest:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def service(name: str, port: int, target: int, kind: str = "ClusterIP") -> Manifest:
    ports = [{"name": "web", "port": port, "targetPort": target}]
    return made("Service", "v1", name, type=kind, selector={"pod": name}, ports=ports)


FRONT = made(
    "Ingress",
    "networking.k8s.io/v1",
    "front",
    rules=[
        {
            "host": "shop.example",
            "http": {"paths": [{"backend": {"service": {"name": "web", "port": {"number": 80}}}}]},
        }
    ],
)
ROUTE = made(
    "HTTPRoute",
    "gateway.networking.k8s.io/v1",
    "api",
    hostnames=["api.example"],
    rules=[
        {
            "backendRefs": [
                {"name": "api", "port": 80},
                {"name": "gone", "port": 80},
                {"kind": "Bucket", "name": "b"},
            ]
        }
    ],
)
WORLD = (
    namespace("shop"),
    namespace("ingress-nginx", team="nginx"),
    pod("shop/web", "10.244.1.10"),
    pod("shop/api", "10.244.1.11"),
    pod("shop/lb", "10.244.1.12"),
    pod("ingress-nginx/controller", "10.244.2.10"),
    service("web", 80, 8080),
    service("api", 80, 9000),
    service("lb", 443, 8443, "LoadBalancer"),
    ingress("shop", "web", {"from": [namespaces(team="nginx")], "ports": [{"port": 8080}]}, name="web"),
    ingress("shop", "api", {"from": [namespaces(team="nginx")], "ports": [{"port": 80}]}, name="api"),
    FRONT,
    ROUTE,
)


def test_what_is_published_is_told_with_who_may_come(call: Call) -> None:
    """The port that policies judge is the pods'; a rule for the Service's port lets nobody in."""
    said = call("reach", "-f", "-", "--open", stdin=as_list(*WORLD)).out
    published = said[said.index("published") :].splitlines()[1:]
    assert published == [
        f"  shop/lb TCP 8443  by LoadBalancer shop/lb as svc/shop/lb:443  ← {CONTROLLER}, addresses outside",
        f"  shop/web TCP 8080  by Ingress shop/front (shop.example) as svc/shop/web:80  ← {CONTROLLER}",
        f"  shop/api TCP 9000  by HTTPRoute shop/api (api.example) as svc/shop/api:80  ← {NOBODY}",
        "  HTTPRoute shop/api leads to svc/shop/gone:80, which is not among the objects",
    ]


def test_why_says_by_what_a_service_is_published(call: Call) -> None:
    asked = ("why", "-f", "-", "ingress-nginx/controller")
    found = call(*asked, "svc/shop/web:80", stdin=as_list(*WORLD))
    assert found.code == 0
    assert "which is judged; it is published by Ingress shop/front (shop.example)\n" in found.out
    assert "published by its type, LoadBalancer" in call(*asked, "svc/shop/lb:443", stdin=as_list(*WORLD)).out


def test_nothing_published_is_no_word(call: Call) -> None:
    quiet = as_list(*(each for each in WORLD if each["kind"] not in ("Ingress", "HTTPRoute", "Service")))
    assert "published" not in call("reach", "-f", "-", "--open", stdin=quiet).out


OLD = made(
    "Ingress",
    "extensions/v1beta1",
    "old",
    backend={"serviceName": "web", "servicePort": "http"},
    rules=[None],
)
CROSSING = made(
    "TCPRoute",
    "gateway.networking.k8s.io/v1alpha2",
    "crossing",
    rules=[{"backendRefs": [{"name": "db", "namespace": "data", "port": True}]}],
)


@pytest.mark.parametrize(
    ("raw", "hosts", "backends"),
    [
        (FRONT, ("shop.example",), (Backend("shop", "web", 80),)),
        (OLD, (), (Backend("shop", "web", "http"),)),
        (CROSSING, (), (Backend("data", "db", None),)),
        (ROUTE, ("api.example",), (Backend("shop", "api", 80), Backend("shop", "gone", 80))),
        (made("Ingress", "networking.k8s.io/v1", "odd", rules=7), (), ()),
    ],
    ids=lambda each: each["metadata"]["name"] if isinstance(each, dict) else "",
)
def test_backends_are_read_and_written(
    raw: Manifest, hosts: tuple[str, ...], backends: tuple[Backend, ...]
) -> None:
    """What is odd is passed over: no policy depends on it."""
    [found], said = load_manifest(as_list(raw).encode(), "x.json", kinds=ASKED)
    assert isinstance(found, Publisher)
    assert (found.hosts, found.backends, said) == (hosts, backends, ())
    again = ASKED.of(found).encode(found)
    [same], said = load_manifest(as_list(again).encode(), "x.json", kinds=ASKED)
    assert isinstance(same, Publisher)
    assert (same.hosts, same.backends, said) == (hosts, backends, ())


def grant(version: str, *routes: tuple[str, str, str], services: tuple[Manifest, ...]) -> Manifest:
    names = ("group", "kind", "namespace")
    spec = {"from": [dict(zip(names, each, strict=True)) for each in routes], "to": list(services)}
    found = made("ReferenceGrant", f"gateway.networking.k8s.io/{version}", "grant", **spec)
    return {**found, "metadata": {"name": "grant", "namespace": "data"}}


GATEWAY = "gateway.networking.k8s.io"
DB: Manifest = {**service("db", 5432, 5432), "metadata": {"name": "db", "namespace": "data"}}
DATA = (namespace("shop"), namespace("data"), pod("data/db", "10.244.3.10"), DB, CROSSING)
TCP_OF_SHOP = (GATEWAY, "TCPRoute", "shop")
ANY_SERVICE: Manifest = {"group": "", "kind": "Service"}


@pytest.mark.parametrize(
    ("granted", "let"),
    [
        ([], False),
        ([grant("v1", TCP_OF_SHOP, services=(ANY_SERVICE,))], True),
        ([grant("v1beta1", TCP_OF_SHOP, services=({**ANY_SERVICE, "name": "db"},))], True),
        ([grant("v1", TCP_OF_SHOP, services=({**ANY_SERVICE, "name": "other"},))], False),
        ([grant("v1", TCP_OF_SHOP, services=({"group": "", "kind": "Secret"},))], False),
        ([grant("v1", (GATEWAY, "HTTPRoute", "shop"), services=(ANY_SERVICE,))], False),
        ([grant("v1", (GATEWAY, "TCPRoute", "data"), services=(ANY_SERVICE,))], False),
        ([grant("v1", ("example.com", "TCPRoute", "shop"), services=(ANY_SERVICE,))], False),
        ([{**grant("v1", TCP_OF_SHOP, services=(ANY_SERVICE,)), "metadata": FRONT["metadata"]}], False),
    ],
)
def test_a_route_leads_to_another_namespace_if_a_grant_there_lets_it(
    call: Call, granted: list[Manifest], let: bool
) -> None:
    world = as_list(*DATA, *granted)
    [said] = call("reach", "-f", "-", "--open", stdin=world).out.split("own namespace:\n")[1].splitlines()
    refused = "and does not reach it: no ReferenceGrant of that namespace among the objects lets it"
    if let:
        assert said.startswith("  data/db TCP 5432  by TCPRoute shop/crossing as svc/data/db:5432  ←")
    else:
        assert said == f"  TCPRoute shop/crossing leads to svc/data/db, {refused}"
    found = json.loads(call("reach", "-f", "-", "--open", "-o", "json", stdin=world).out)
    missing = [] if let else [{"by": "TCPRoute shop/crossing", "service": "svc/data/db", "granted": False}]
    assert (len(found["published"]), found["missing"]) == (int(let), missing)
    asked = call("why", "-f", "-", "internet", "svc/data/db:5432", stdin=world).out
    assert ("published by TCPRoute shop/crossing" in asked) == let


def test_a_grant_is_read_and_written() -> None:
    raw = grant(
        "v1beta1", TCP_OF_SHOP, ("", "Pod", "x"), services=(ANY_SERVICE, {"kind": "Secret"}, {"kind": 7})
    )
    [found], said = load_manifest(as_list(raw).encode(), "x.json", kinds=ASKED)
    assert isinstance(found, ReferenceGrant)
    assert (found.routes, found.services, said) == ((("TCPRoute", "shop"),), (None,), ())
    [same], _ = load_manifest(as_list(ASKED.of(found).encode(found)).encode(), "x.json", kinds=ASKED)
    assert isinstance(same, ReferenceGrant)
    assert replace(same, source=None) == replace(found, source=None)
