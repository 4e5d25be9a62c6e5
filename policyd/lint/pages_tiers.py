"""The rules NP5xx: about ClusterNetworkPolicies."""

from __future__ import annotations

from typing import Final

from policyd.lint.rule import Rule

_HEAD: Final = """\
apiVersion: policy.networking.k8s.io/v1beta1
kind: ClusterNetworkPolicy
"""

PAGES: Final = (
    Rule(
        "NP501",
        "warn",
        "two policies of a tier with one priority, of which rules overlap",
        """\
Which of them is asked first is left to every engine, and so what becomes of a packet that both decide.
policyd asks them in the order of their names (CNP-012). Policies that never select the same pod, or whose
rules never meet or say the same, may share a priority.""",
        f"""\
{_HEAD}metadata: {{name: let-ops-in}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{}}}}
  ingress:
    - action: Accept
      from: [{{namespaces: {{matchLabels: {{team: ops}}}}}}]
---
{_HEAD}metadata: {{name: no-ssh}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{}}}}
  ingress:
    - action: Deny
      from: [{{namespaces: {{}}}}]
      protocols: [{{tcp: {{destinationPort: {{number: 22}}}}}}]
""",
        f"""\
{_HEAD}metadata: {{name: let-ops-in}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{}}}}
  ingress:
    - action: Accept
      from: [{{namespaces: {{matchLabels: {{team: ops}}}}}}]
---
{_HEAD}metadata: {{name: no-ssh}}
spec:
  tier: Admin
  priority: 20
  subject: {{namespaces: {{}}}}
  ingress:
    - action: Deny
      from: [{{namespaces: {{}}}}]
      protocols: [{{tcp: {{destinationPort: {{number: 22}}}}}}]
""",
    ),
    Rule(
        "NP502",
        "warn",
        "a rule of a tier that nothing reaches",
        """\
The first rule that matches decides (CNP-018). An earlier one, of the same policy or of one with a smaller
priority, is about all that this one is about: its pods, its peers and its ports. It is judged by what is
written, not by which pods there are now.""",
        f"""\
{_HEAD}metadata: {{name: shop}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{matchLabels: {{team: shop}}}}}}
  ingress:
    - action: Deny
      from: [{{namespaces: {{}}}}]
    - action: Accept
      from: [{{namespaces: {{matchLabels: {{team: ops}}}}}}]
      protocols: [{{destinationNamedPort: metrics}}]
""",
        f"""\
{_HEAD}metadata: {{name: shop}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{matchLabels: {{team: shop}}}}}}
  ingress:
    - action: Accept
      from: [{{namespaces: {{matchLabels: {{team: ops}}}}}}]
      protocols: [{{destinationNamedPort: metrics}}]
    - action: Deny
      from: [{{namespaces: {{}}}}]
""",
    ),
    Rule(
        "NP503",
        "warn",
        "a Deny of egress that means DNS or nodes as well",
        """\
A network means pods and nodes as well as the world (CNP-023), and all namespaces are also the one in which
DNS runs. Pods that reach neither cannot resolve a name, or not ask the API server. Asked of policies for
whole namespaces: one that picks pods by their labels cuts these off, and is meant so. A rule before it that
may let DNS pass (UDP 53), or the node, is enough. Nodes are known if they are among the objects.""",
        f"""\
{_HEAD}metadata: {{name: no-internet}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{}}}}
  egress:
    - action: Deny
      to: [{{networks: [0.0.0.0/0, "::/0"]}}]
""",
        f"""\
{_HEAD}metadata: {{name: no-internet}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{}}}}
  egress:
    - action: Pass
      to: [{{namespaces: {{}}}}, {{nodes: {{}}}}]
    - action: Deny
      to: [{{networks: [0.0.0.0/0, "::/0"]}}]
""",
        needs="objects",
    ),
    Rule(
        "NP504",
        "note",
        "a Pass that skips nothing",
        """\
`Pass` skips the rest of its tier (CNP-006). Where no rule of the tier comes behind it for any of its pods,
it does nothing: what was to be skipped stands before it, or is gone.""",
        f"""\
{_HEAD}metadata: {{name: mail}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{}}}}
  egress:
    - action: Deny
      to: [{{networks: [0.0.0.0/0, "::/0"]}}]
      protocols: [{{tcp: {{destinationPort: {{number: 25}}}}}}]
---
{_HEAD}metadata: {{name: mail-for-ops}}
spec:
  tier: Admin
  priority: 20
  subject: {{namespaces: {{matchLabels: {{team: ops}}}}}}
  egress:
    - action: Pass
      to: [{{networks: [0.0.0.0/0]}}]
      protocols: [{{tcp: {{destinationPort: {{number: 587}}}}}}]
""",
        f"""\
{_HEAD}metadata: {{name: mail-for-ops}}
spec:
  tier: Admin
  priority: 5
  subject: {{namespaces: {{matchLabels: {{team: ops}}}}}}
  egress:
    - action: Pass
      to: [{{networks: [0.0.0.0/0, "::/0"]}}]
      protocols: [{{tcp: {{destinationPort: {{number: 25}}}}}}]
---
{_HEAD}metadata: {{name: mail}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{}}}}
  egress:
    - action: Deny
      to: [{{networks: [0.0.0.0/0, "::/0"]}}]
      protocols: [{{tcp: {{destinationPort: {{number: 25}}}}}}]
""",
        needs="objects",
    ),
)
