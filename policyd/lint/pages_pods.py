"""The rules NP1xx: about what selectors, names and numbers match among the objects."""

from __future__ import annotations

from typing import Final

from policyd.lint.rule import Rule


def _to_api(rest: str, pods: str = "{matchLabels: {app: api}}") -> str:
    """A policy of the shop with one rule of ingress."""
    return f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: api, namespace: shop}}
spec:
  podSelector: {pods}
  ingress:
{rest}"""


PAGES: Final = (
    Rule(
        "NP101",
        "warn",
        "a policy that selects no pod",
        """\
It protects nobody (NP-024). Mostly a label is misspelt, or the policy is in another namespace than its
pods. A policy for all pods (`podSelector: {}`) is none of these: it is for whoever comes.""",
        _to_api("    - from: [{podSelector: {matchLabels: {app: web}}}]\n", "{matchLabels: {app: apii}}"),
        _to_api("    - from: [{podSelector: {matchLabels: {app: web}}}]\n"),
        needs="objects",
        fix="writes the label that is there, if only one can be meant",
    ),
    Rule(
        "NP102",
        "warn",
        "a peer that matches no pod",
        """\
It allows nothing. Mostly a label is misspelt, or the pods are in another namespace: a `podSelector`
without `namespaceSelector` means the policy's own (NP-036).""",
        _to_api("    - from:\n        - podSelector: {matchLabels: {app: wbe}}\n"),
        _to_api("    - from:\n        - podSelector: {matchLabels: {app: web}}\n"),
        needs="objects",
        fix="writes the label that is there, if only one can be meant",
    ),
    Rule(
        "NP103",
        "error",
        "a namespaceSelector that matches no namespace",
        """\
It allows nothing. Namespaces have no label `name` of their own, but all have
`kubernetes.io/metadata.name` (NP-040). From files it is a finding where what was meant can be told, or
where several Namespaces are given, and every one that is used; namespaces that mostly come from
elsewhere, such as kube-system, are never one.""",
        _to_api("    - from:\n        - namespaceSelector: {matchLabels: {name: ops}}\n"),
        _to_api(
            "    - from:\n        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}\n"
        ),
        needs="objects",
        fix="writes `kubernetes.io/metadata.name`, or the label that is there, if only one can be meant",
    ),
    Rule(
        "NP104",
        "error",
        "a port name that no pod in question has",
        """\
A port name is looked up on the pods that receive: the selected ones for ingress, the peers for egress.
One that none of them has, for this protocol, allows nothing (NP-054).""",
        _to_api("    - ports: [{port: metrcs}]\n      from: [{namespaceSelector: {}}]\n"),
        _to_api("    - ports: [{port: metrics}]\n      from: [{namespaceSelector: {}}]\n"),
        needs="objects",
        fix="writes the name that is there, if only one can be meant",
    ),
    Rule(
        "NP105",
        "warn",
        "a Service's port in the place of its pods'",
        """\
What goes to a Service has the address and the port of one of its pods before a policy is asked. So a
rule with the Service's own port matches nothing, unless the two are equal.""",
        _to_api("    - ports: [{port: 80}]\n      from: [{podSelector: {matchLabels: {app: web}}}]\n"),
        _to_api("    - ports: [{port: 9000}]\n      from: [{podSelector: {matchLabels: {app: web}}}]\n"),
        needs="objects",
        fix="writes the pods' port, if there is one only",
    ),
    Rule(
        "NP106",
        "warn",
        "only pods on the host's network are selected",
        """\
Pods with `hostNetwork` have the address of their node, and no selector reaches them (NP-046): a policy
for them does nothing, and a peer that matches only them allows nothing. As peers, an `ipBlock` with the
addresses of the nodes does.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: node-exporter, namespace: ops}
spec:
  podSelector: {matchLabels: {app: node-exporter}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: prometheus}}}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: prometheus, namespace: ops}
spec:
  podSelector: {matchLabels: {app: prometheus}}
  ingress:
    - from: [{podSelector: {}}]
""",
        needs="objects",
    ),
    Rule(
        "NP107",
        "note",
        "an ipBlock that holds addresses of pods or Services",
        """\
Pods get other addresses whenever they are made again, so whom the block means changes; labels say whom.
The address of a Service is never that of a packet when policies are asked. Blocks for a whole family
(`0.0.0.0/0`) are no finding.""",
        _to_api("    - from: [{ipBlock: {cidr: 10.1.0.0/24}}]\n"),
        _to_api("    - from: [{podSelector: {matchLabels: {app: db}}}]\n"),
        needs="objects",
    ),
)
