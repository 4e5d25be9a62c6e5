"""The rules NP2xx and NP3xx: about what policies come to together."""

from __future__ import annotations

from typing import Final

from policyd.lint.rule import Rule

PAGES: Final = (
    Rule(
        "NP201",
        "error",
        "egress is isolated and DNS is not allowed",
        """\
The pods may send, and cannot resolve the name of anybody to send to. Asked of all policies of the pods
together. A rule for port 53 to whomever counts, and one without ports to namespaces that may hold the
DNS. Pods that may send nothing at all, or only to single networks by their addresses, need no DNS. UDP
alone is a warning: long answers come by TCP.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: db}}}]
      ports: [{port: 5432}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: db}}}]
      ports: [{port: 5432}]
    - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
      ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
""",
        needs="objects",
    ),
    Rule(
        "NP202",
        "note",
        "egress allows what all its receivers refuse",
        """\
A connection needs the sender's egress and the receiver's ingress. A peer of egress of which every pod
refuses every port of the rule is half of a permission: the other half was forgotten, or this one is
left over.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: db}}}]
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: api}}}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: db}}}]
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
""",
        needs="objects",
    ),
    Rule(
        "NP203",
        "warn",
        "a namespace with pods that no policy isolates",
        """\
Whoever finds a way into the cluster reaches these pods. Asked only with `--baseline` (or `--extend
NP203`), as it is a matter of how far a cluster has come. A policy for all pods of the namespace is the
usual answer.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: ops}
spec: {podSelector: {}, policyTypes: [Ingress]}
""",
        needs="objects",
        opt_in=True,
    ),
    Rule(
        "NP204",
        "warn",
        "a rule that lets everybody in",
        """\
`ingress: [{}]` lets in pods, nodes and whatever is outside of the cluster, at every port: a policy with
it only looks like protection. `from: []` is the same as no `from` at all, everybody, and not nobody
(NP-014).""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - {}
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - ports: [{port: http}]
""",
        needs="objects",
    ),
    Rule(
        "NP301",
        "note",
        "a rule of which others allow all",
        """\
Taking it away changes nothing, whatever pods come. It is judged by what the rules mean and not by how
they are written: one rule may cover it or several together, in its own policy or in others of the
namespace. Which pods there are now does not count. Of two equal rules the first one stays, and all that
are found can go together.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {}}]
    - from: [{podSelector: {matchLabels: {app: api}}}]
      ports: [{port: sql}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: api}}}]
      ports: [{port: sql}]
""",
        needs="objects",
    ),
    Rule(
        "NP302",
        "note",
        "a rule that a wider one of another policy shadows",
        """\
What it allows is allowed already, and more. So it protects nothing, though it reads as if it did: the
wider rule is the one to look at.""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: api}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: same-namespace, namespace: shop}
spec:
  podSelector: {}
  ingress:
    - from: [{podSelector: {}}]
""",
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: api}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{podSelector: {}}]
""",
        needs="objects",
    ),
)
