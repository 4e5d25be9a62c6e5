"""Whom selectors match: near misses, other namespaces, and what a partial world leaves open."""

from __future__ import annotations

import pytest

from policyd.lint.finding import Finding
from policyd.lint.nearest import near
from tests.lint.linting import report, rules, to_api

PROMETHEUS = """\
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: k8s, namespace: shop}
spec: {replicas: 2}
"""


def only(*texts: str, shop: bool = True, world: str | None = None) -> Finding:
    [found] = report(*texts, shop=shop, world=world).findings
    return found


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("wbe", ("web", "api"), ("web",)),
        ("dbb", ("db",), ("db",)),
        ("metrcs", ("metrics", "http"), ("metrics",)),
        ("htpt", ("http", "https"), ("http",)),
        ("nmae", ("name",), ("name",)),
        ("Web", ("web",), ("web",)),
        ("chekcoutservise", ("checkoutservice",), ("checkoutservice",)),
        ("app-web-fornt", ("app-web-front",), ("app-web-front",)),
        ("frontend", ("backend",), ()),
        ("api", ("app",), ()),
        ("web-1", ("web-2",), ()),
        ("team07", ("team08",), ()),
        ("app-a", ("app-b",), ()),
        ("prometheus", ("prometheus-adapter",), ()),
        ("v1", ("v2",), ()),
        ("metrics", ("metrics", "metric"), ()),
    ],
)
def test_a_near_word_is_a_slip_and_no_other_word(
    word: str, known: tuple[str, ...], meant: tuple[str, ...]
) -> None:
    assert near(word, known) == meant


def test_a_misspelt_label_says_what_was_meant() -> None:
    found = only(to_api("[{from: [{podSelector: {matchLabels: {app: wbe}}}]}]"))
    assert (found.rule, found.level, found.path) == ("NP102", "warn", "spec.ingress[0].from[0]")
    assert found.message == "matches no pod: no pod of shop has app=wbe"
    assert found.suggestion is not None
    assert (found.suggestion.text, found.suggestion.replace) == ("did you mean web?", "web")


def test_a_misspelt_key_is_found_too() -> None:
    found = only(
        to_api("[{from: [{podSelector: {matchExpressions: [{key: ap, operator: In, values: [web]}]}}]}]")
    )
    assert found.suggestion is not None
    assert found.suggestion.replace == "app"


def test_of_two_that_may_be_meant_none_is_written() -> None:
    head = "apiVersion: v1\nkind: Pod\n"
    more = [
        f"{head}metadata: {{name: {app}, namespace: shop, labels: {{app: {app}}}}}\n"
        for app in ("front", "fronts")
    ]
    found = only(*more, to_api("[{from: [{podSelector: {matchLabels: {app: frontt}}}]}]"))
    assert found.suggestion is not None
    assert (found.suggestion.text, found.suggestion.replace) == ("did you mean front or fronts?", None)


def test_pods_of_another_namespace_are_named() -> None:
    found = only(to_api("[{from: [{podSelector: {matchLabels: {app: prometheus}}}]}]"))
    assert found.rule == "NP102"
    assert found.suggestion is not None
    assert found.suggestion.text == (
        "such pods are only in ops; without namespaceSelector a rule means its own namespace"
    )


@pytest.mark.parametrize(
    "peer",
    [
        "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}",
        "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}",
        "{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}",
        "{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web, api, db]}]}}",
        "{namespaceSelector: {}, podSelector: {}}",
        "{podSelector: {}}",
    ],
)
def test_what_mostly_is_elsewhere_and_whoever_comes_are_no_finding(peer: str) -> None:
    assert rules(to_api(f"[{{from: [{peer}]}}]")) == []


def test_without_namespaces_among_the_objects_their_labels_are_not_known() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, labels: {app: api}}\nspec: {}\n"
    other = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ops}\nspec: {}\n"
    for label in ("team: ops", "kubernetes.io/metadata.name: data"):
        peer = f"[{{from: [{{namespaceSelector: {{matchLabels: {{{label}}}}}}}]}}]"
        assert rules(pod, to_api(peer), shop=False) == []
        assert rules(pod, to_api(peer), shop=False, world="complete") == [("NP103", "error")]
    # A namespace that nobody gave may well have the label `name`.
    named = to_api("[{from: [{namespaceSelector: {matchLabels: {name: ops}}}]}]")
    assert rules(pod, other, named, shop=False) == [("NP103", "note")]


def test_in_a_partial_world_only_near_misses_are_more_than_notes() -> None:
    unseen = to_api("[{from: [{podSelector: {matchLabels: {app: prometheus-k8s}}}]}]")
    assert rules(unseen) == [("NP102", "warn")]
    assert rules(PROMETHEUS, unseen) == [("NP102", "note")]
    assert rules(PROMETHEUS, unseen, world="complete") == [("NP102", "warn")]
    assert rules(PROMETHEUS, to_api("[{from: [{podSelector: {matchLabels: {app: wbe}}}]}]")) == [
        ("NP102", "warn")
    ]
    assert report(PROMETHEUS).world == "partial"
    assert report(PROMETHEUS).partial == ("p0.yaml: Prometheus k8s may make pods",)


@pytest.mark.parametrize(
    ("version", "kind", "spec", "world"),
    [
        ("argoproj.io/v1alpha1", "Rollout", "{}", "partial"),
        ("monitoring.coreos.com/v1", "Alertmanager", "{}", "partial"),
        ("example.com/v1", "Anything", "{}", "partial"),
        ("example.com/v1", "AnythingPolicy", "{template: {spec: {containers: [{name: c}]}}}", "partial"),
        ("gateway.networking.k8s.io/v1", "Gateway", "{}", "partial"),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization", "{}", "complete"),
        ("monitoring.coreos.com/v1", "ServiceMonitor", "{}", "complete"),
        ("cert-manager.io/v1", "Certificate", "{}", "complete"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "{}", "complete"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "{}", "complete"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "{}", "complete"),
        ("v1", "ConfigMap", "{}", "complete"),
    ],
)
def test_what_makes_pods_makes_the_world_partial(version: str, kind: str, spec: str, world: str) -> None:
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\nspec: {spec}\n"
    assert report(text).world == world


def test_policies_alone_are_a_partial_world() -> None:
    text = to_api("[{from: [{podSelector: {matchLabels: {app: web}}}]}]")
    assert report(text, shop=False).world == "partial"
    assert {level for _, level in rules(text, shop=False)} <= {"note"}


def test_a_rendering_that_changes_namespaces_makes_the_world_partial() -> None:
    text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: prod\n"
    assert report(text).world == "partial"


def test_files_of_directories_without_objects_are_skipped() -> None:
    found = report("replicas: 3\nimage: web\n", "[1, 2]\n", to_api("[{from: [{podSelector: {}}]}]"))
    assert (found.skipped, found.policies, found.world, found.findings) == (2, 1, "complete", ())
    helm = "kind: Deployment\nmetadata: {name: {{ .Release.Name }}}\n"
    assert (report(helm).skipped, report(helm).world) == (1, "partial")


def test_both_items_are_meant_where_pods_say_so() -> None:
    """NP002: the second item matches here, and no pod there is like it."""
    ops = "{{namespaceSelector: {{matchLabels: {{team: ops}}}}}}"
    peers = f"[{ops}, {{{{podSelector: {{{{matchLabels: {{{{app: {{0}}}}}}}}}}}}}}]"
    assert "NP002" in {rule for rule, _ in rules(to_api(f"[{{from: {peers.format('prometheus')}}}]"))}
    assert rules(to_api(f"[{{from: {peers.format('web')}}}]")) == []


def test_pods_on_the_hosts_network_as_peers() -> None:
    text = to_api(
        "[{from: [{namespaceSelector: {matchLabels: {team: ops}}, "
        "podSelector: {matchLabels: {app: node-exporter}}}]}]"
    )
    assert rules(text) == [("NP106", "warn")]
