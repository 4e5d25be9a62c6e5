"""How tests of lint ask it: texts in, a report out."""

from __future__ import annotations

from policyd.kube.reading import ReadingOptions
from policyd.lint.choice import DEFAULT, Choice
from policyd.lint.examples import SHOP
from policyd.lint.finding import Report
from policyd.lint.gather import Gathered, Input, gather
from policyd.lint.judge import judge

DIRECTORY = "manifests"


def gathered(*texts: str | bytes, shop: bool = True) -> Gathered:
    """What is read of the shop and of these texts, named p0.yaml and so on, all found in a directory."""
    written = [text.encode() if isinstance(text, str) else text for text in texts]
    inputs = [Input(f"p{number}.yaml", text, found=True) for number, text in enumerate(written)]
    return gather(
        [*([Input("shop.yaml", SHOP.encode(), found=True)] if shop else []), *inputs], ReadingOptions()
    )


def report(
    *texts: str | bytes, shop: bool = True, choice: Choice = DEFAULT, world: str | None = None
) -> Report:
    """What is found in these texts, beside the shop."""
    found = gathered(*texts, shop=shop)
    return judge(found.subjects, found.seen(world), found.texts, choice, len(found.skipped))


def rules(*texts: str | bytes, shop: bool = True, world: str | None = None) -> list[tuple[str, str]]:
    """Rule and level of each finding."""
    return [(f.rule, f.level) for f in report(*texts, shop=shop, world=world).findings]


def to_api(rules: str, direction: str = "ingress") -> str:
    """A policy of the shop for api, with the rules of one direction as flow YAML."""
    types = {"ingress": "Ingress", "egress": "Egress"}[direction]
    return f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: api, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: api}}}}
  policyTypes: [{types}]
  {direction}: {rules}
"""
