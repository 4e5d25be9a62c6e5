"""Small copies of the shapes of public collections: what is said of them is true, and nothing else is said.

What the real ones come to stands in docs/lint.md.
"""

from __future__ import annotations

from tests.lint.linting import report


def workload(name: str, labels: str, *, kind: str = "Deployment", namespace: str = "", spec: str = "") -> str:
    place = f", namespace: {namespace}" if namespace else ""
    return f"""\
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}{place}}}
spec:
  selector: {{matchLabels: {{{labels}}}}}
  template:
    metadata: {{labels: {{{labels}}}}}
    spec:
      {spec or f"containers: [{{name: server, image: {name}, ports: [{{containerPort: 8080}}]}}]"}
---
"""


def policy(name: str, selector: str, rest: str, *, namespace: str = "") -> str:
    place = f", namespace: {namespace}" if namespace else ""
    return f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}{place}}}
spec:
  podSelector: {{{selector}}}
{rest}---
"""


BOTH = "  policyTypes: [Ingress, Egress]\n"
FROM = "  ingress:\n  - from:\n"

#: As the demo of a cloud provider has it: a policy for each service, all else denied, no namespace named.
SERVICES = ("frontend", "cartservice", "checkoutservice", "redis-cart", "loadgenerator")
BOUTIQUE = (
    "".join(workload(name, f"app: {name}") for name in SERVICES)
    + policy("deny-all", "", BOTH)
    + policy(
        "frontend",
        "matchLabels: {app: frontend}",
        BOTH + "  ingress:\n  - {}\n  egress:\n  - {}\n",
    )
    + policy(
        "cartservice",
        "matchLabels: {app: cartservice}",
        BOTH + FROM + "    - podSelector: {matchLabels: {app: frontend}}\n"
        "    - podSelector: {matchLabels: {app: checkoutservice}}\n"
        "    ports:\n    - {port: 7070, protocol: TCP}\n"
        "  egress:\n  - {}\n",
    )
    + policy(
        "redis-cart",
        "matchLabels: {app: redis-cart}",
        BOTH + FROM + "    - podSelector: {matchLabels: {app: cartservice}}\n"
        "    ports:\n    - {port: 6379, protocol: TCP}\n",
    )
)


def test_a_policy_for_each_service() -> None:
    [found] = report(BOUTIQUE, shop=False).findings
    assert (found.rule, str(found.object), found.path) == ("NP204", "default/frontend", "spec.ingress[0]")
    assert report(BOUTIQUE, shop=False).world == "complete"


#: As a controller's installation has it: components by a label of their own, monitoring from any namespace.
COMPONENTS = (
    "".join(
        workload(f"argocd-{name}", f"app.kubernetes.io/name: argocd-{name}", kind=kind)
        for name, kind in (
            ("server", "Deployment"),
            ("repo-server", "Deployment"),
            ("application-controller", "StatefulSet"),
        )
    )
    + policy(
        "argocd-repo-server",
        "matchLabels: {app.kubernetes.io/name: argocd-repo-server}",
        "  policyTypes: [Ingress]\n  ingress:\n  - from:\n"
        "    - podSelector: {matchLabels: {app.kubernetes.io/name: argocd-server}}\n"
        "    - podSelector: {matchLabels: {app.kubernetes.io/name: argocd-application-controller}}\n"
        "    ports: [{port: 8081, protocol: TCP}]\n"
        "  - from:\n    - namespaceSelector: {}\n    ports: [{port: 8084}]\n",
    )
    + policy(
        "argocd-application-controller",
        "matchLabels: {app.kubernetes.io/name: argocd-application-controller}",
        "  policyTypes: [Ingress]\n" + FROM + "    - namespaceSelector: {}\n    ports: [{port: 8082}]\n",
    )
)


def test_components_of_a_controller() -> None:
    assert report(COMPONENTS, shop=False).findings == ()


#: As an operator's collection has it: pods that the operator makes later, and one on the host's network.
LABELS = "app.kubernetes.io/name: {0}, app.kubernetes.io/part-of: kube-prometheus"
FROM_PROMETHEUS = (
    BOTH
    + "  egress:\n  - {}\n"
    + FROM
    + "    - podSelector: {matchLabels: {app.kubernetes.io/name: prometheus}}\n"
    "    ports: [{port: http, protocol: TCP}]\n"
)


def of_the_stack(name: str) -> str:
    labels = LABELS.format(name)
    return policy(name, f"matchLabels: {{{labels}}}", FROM_PROMETHEUS, namespace="monitoring")


PORTS = "containers: [{name: server, image: x, ports: [{name: http, containerPort: 3000}]}]"
OPERATED = (
    workload("grafana", LABELS.format("grafana"), namespace="monitoring", spec=PORTS)
    + workload("prometheus-adapter", LABELS.format("prometheus-adapter"), namespace="monitoring", spec=PORTS)
    + workload(
        "node-exporter",
        LABELS.format("node-exporter"),
        kind="DaemonSet",
        namespace="monitoring",
        spec="{hostNetwork: true, containers: [{name: s, ports: [{name: http, containerPort: 91}]}]}",
    )
    + "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\n"
    + "metadata: {name: k8s, namespace: monitoring}\n---\n"
    + of_the_stack("grafana")
    + of_the_stack("node-exporter")
    + of_the_stack("prometheus")
)


def test_pods_that_an_operator_makes_later() -> None:
    """The one thing that is wrong is told; what the operator's pods decide is a note, without a guess."""
    found = report(OPERATED, shop=False)
    assert found.world == "partial"
    [wrong] = [f for f in found.findings if f.level != "note"]
    assert (wrong.rule, str(wrong.object)) == ("NP106", "monitoring/node-exporter")
    notes = {(f.rule, f.suggestion) for f in found.findings if f.level == "note"}
    assert notes == {("NP101", None), ("NP102", None)}


def test_a_repository_of_one_application() -> None:
    """One namespace, a rule for the ingress controller and one for DNS, which are somebody else's."""
    text = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: app}\n---\n"
        + workload("web", "app: web", namespace="app")
        + policy(
            "web",
            "matchLabels: {app: web}",
            BOTH + FROM + "    - namespaceSelector: {matchLabels: "
            "{kubernetes.io/metadata.name: edge}}\n      podSelector: {matchLabels: {app: edge-proxy}}\n"
            "  egress:\n  - to:\n    - namespaceSelector: {}\n      podSelector: {matchLabels: "
            "{k8s-app: kube-dns}}\n    ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]\n"
            "  - to:\n    - ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}\n    ports: [{port: 443}]\n",
            namespace="app",
        )
    )
    assert report(text, shop=False).findings == ()
