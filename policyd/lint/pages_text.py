"""The rules NP0xx and NP401: a policy alone is enough."""

from __future__ import annotations

from typing import Final

from policyd.lint.rule import Rule

PAGES: Final = (
    Rule(
        "NP001",
        "error",
        "rules of a direction that policyTypes does not list",
        """\
An API server takes such a policy, and the rules mean nothing: the direction is not isolated, or another
policy decides alone. Mostly `policyTypes` was copied from a policy of the other direction.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
  egress:
    - to: [{podSelector: {matchLabels: {app: db}}}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
""",
        fix="adds the direction to `policyTypes`, which isolates the pods in it",
    ),
    Rule(
        "NP002",
        "warn",
        "namespaceSelector and podSelector as two items, where both in one may be meant",
        """\
Two items are either-or: any pod of these namespaces, or such pods of the policy's own namespace. One
item with both selectors means such pods of these namespaces. A dash makes the difference, and the first
form is much wider. It is no finding where pods tell that it is meant: such pods are here, and none are
there.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {team: ops}}
        - podSelector: {matchLabels: {app: prometheus}}
      ports: [{port: metrics}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {team: ops}}
          podSelector: {matchLabels: {app: prometheus}}
      ports: [{port: metrics}]
""",
    ),
    Rule(
        "NP003",
        "warn",
        "an ipBlock that means something else than it looks like",
        """\
Bits behind the prefix mean nothing: `10.0.0.1/8` is `10.0.0.0/8`, and servers refuse it since
Kubernetes 1.36. An except that is not inside of its block is refused by every server (an error). A
block or an except that is there twice is mostly a copy that was meant to become another. `0.0.0.0/0` is
no IPv6 address: where pods have both families, a rule without `::/0` denies half of what it seems to
allow.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{ipBlock: {cidr: 192.0.2.17/24}}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{ipBlock: {cidr: 192.0.2.0/24}}]
""",
        fix="writes the block as it is meant",
    ),
    Rule(
        "NP004",
        "note",
        "a port without a protocol, which is TCP, where UDP is mostly spoken",
        """\
A port without `protocol` is TCP, never both. That is a finding for ports that mostly are UDP (DNS, NTP,
syslog, …) unless a rule of the same direction names the port for UDP, for TCP 53 alone, and for `ports:
[{}]`, which is every port of TCP.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
  egress:
    - to: [{namespaceSelector: {}}]
      ports: [{port: 53}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
  egress:
    - to: [{namespaceSelector: {}}]
      ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
""",
    ),
    Rule(
        "NP005",
        "warn",
        "a label that is no text to YAML",
        """\
Labels are text, and YAML reads `on`, `1.10` or `0x1f` without quotes as something else: an API server
refuses the object (an error). A value that is left out is the empty text, which no pod has by accident.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{podSelector: {matchLabels: {canary: on}}}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: api}}}]
""",
        fix="puts the value in quotes",
    ),
    Rule(
        "NP401",
        "error",
        "a policy of an API that policyd does not enforce",
        """\
Policies of Calico, Cilium, Antrea, Istio and others, and those of SIG Network's tiers that policyd does
not know, have no effect where policyd enforces. Where the other engine runs next to it on purpose,
switch the rule off in `.policyd.yaml`.""",
        """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: api}}
  ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]
""",
    ),
)
