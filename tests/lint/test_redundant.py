"""NP301 and NP302: what is found can go, all of it at once, in any world; what is written decides."""

from __future__ import annotations

import copy
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.kube.objects import LabelSelector, Requirement
from policyd.kube.reading import ReadingOptions
from policyd.kube.selectors import matches
from policyd.lint.choice import Choice
from policyd.lint.gather import Input, gather
from policyd.lint.judge import judge
from policyd.lint.within import implies
from tests.lint.linting import report, rules, to_api
from tests.oracle import Manifest, Oracle
from tests.strategies.worlds import random_connections, random_world

NEEDLESS = Choice(select=("NP3",))


def needless(objects: list[Manifest]) -> list[tuple[str, str, str, int]]:
    """Namespace, policy, direction and number of each rule that is found."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
    gathered = gather([Input("w", text)], ReadingOptions())
    found = judge(gathered.subjects, gathered.seen(), gathered.texts, NEEDLESS).findings
    out = []
    for each in found:
        direction, _, number = each.path.removeprefix("spec.").rstrip("]").partition("[")
        out.append((each.object.namespace, each.object.name, direction, int(number)))
    return out


def doubled(rng: random.Random, objects: list[Manifest]) -> list[Manifest]:
    """The same world with some rules twice: in their own policy, or in a further one for more pods."""
    out = copy.deepcopy(objects)
    for number, policy in enumerate([o for o in out if o["kind"] == "NetworkPolicy"]):
        for direction in ("ingress", "egress"):
            written = (policy.get("spec") or {}).get(direction)
            if not written:
                continue
            if rng.random() < 0.5:
                written.insert(rng.randrange(len(written) + 1), copy.deepcopy(rng.choice(written)))
            elif rng.random() < 0.4:
                written.extend(split(rng, rng.choice(written)))
            elif rng.random() < 0.5:
                more = copy.deepcopy(policy)
                more["metadata"]["name"] = f"more-{number}-{direction}"
                if rng.random() < 0.5:
                    more["spec"]["podSelector"] = {}
                out.append(more)
    return out


def split(rng: random.Random, rule: Manifest | None) -> list[Manifest]:
    """The parts of a rule, which only together allow what it does."""
    lists = [key for key in ("from", "to", "ports") if len((rule or {}).get(key) or ()) > 1]
    if rule is None or not lists:
        return [copy.deepcopy(rule or {})]
    key = rng.choice(lists)
    at = rng.randrange(1, len(rule[key]))
    return [{**copy.deepcopy(rule), key: part} for part in (rule[key][:at], rule[key][at:])]


def relabelled(rng: random.Random, objects: list[Manifest]) -> list[Manifest]:
    """The same policies in another world: each pod has the labels and ports of some other one."""
    out = copy.deepcopy(objects)
    pods = [each for each in out if each["kind"] == "Pod"]
    labels = [each["metadata"].get("labels") for each in pods]
    rng.shuffle(labels)
    for each, others in zip(pods, labels, strict=True):
        each["metadata"]["labels"] = others
    return out


@given(seed=st.integers(0, 1 << 30))
def test_without_all_that_is_found_every_packet_has_the_same_verdict(seed: int) -> None:
    rng = random.Random(seed)
    objects = doubled(rng, random_world(rng))
    without = copy.deepcopy(objects)
    gone: dict[tuple[str, str, str], set[int]] = {}
    for namespace, name, direction, number in needless(objects):
        gone.setdefault((namespace, name, direction), set()).add(number)
    for policy in (o for o in without if o["kind"] == "NetworkPolicy"):
        metadata, spec = policy["metadata"], policy.get("spec") or {}
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        for direction in ("ingress", "egress"):
            key = (metadata.get("namespace", "default"), metadata["name"], direction)
            if key in gone:
                spec["policyTypes"] = types
                kept = [r for n, r in enumerate(spec[direction]) if n not in gone[key]]
                spec[direction] = kept
    for _ in range(2):
        before, after = Oracle(objects), Oracle(without)
        for connection in random_connections(rng, objects, 20):
            assert before.verdict(connection) == after.verdict(connection), (connection, gone)
        # Whatever pods come: what is found says nothing of those that are there.
        state = rng.getstate()
        objects = relabelled(rng, objects)
        rng.setstate(state)
        without = relabelled(rng, without)


def test_doubled_worlds_have_something_to_find() -> None:
    """Else the law above would say nothing."""
    found = 0
    for seed in range(30):
        rng = random.Random(seed)
        found += bool(needless(doubled(rng, random_world(rng))))
    assert found > 10


KEYS, VALUES = ("a", "b"), ("x", "y", "")


@st.composite
def selectors(draw: st.DrawFn) -> LabelSelector:
    many = draw(st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 3)), max_size=3))
    made = []
    for key, kind in many:
        values = tuple(sorted(draw(st.sets(st.sampled_from(VALUES), min_size=1))))
        operator = ("In", "NotIn", "Exists", "DoesNotExist")[kind]
        made.append(Requirement(key, operator, values if kind < 2 else ()))  # type: ignore[arg-type]
    return LabelSelector(tuple(made))


@given(narrow=selectors(), wide=selectors())
def test_what_implies_matches_no_more(narrow: LabelSelector, wide: LabelSelector) -> None:
    """All sets of labels of these keys and values, one by one."""
    if not implies(narrow, wide):
        return
    for a in (None, *VALUES):
        for b in (None, *VALUES):
            labels = {key: value for key, value in (("a", a), ("b", b)) if value is not None}
            assert not matches(narrow, labels) or matches(wide, labels)


WEB = "{from: [{podSelector: {matchLabels: {app: web}}}]}"


ANY = "{podSelector: {}}"


@pytest.mark.parametrize(
    ("narrow", "wide", "covered"),
    [
        ("{podSelector: {matchLabels: {app: web}}}", "{podSelector: {matchLabels: {app: web}}}", True),
        ("{podSelector: {matchLabels: {app: web}}}", ANY, True),
        (
            "{podSelector: {matchLabels: {app: web}}}",
            "{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, db]}]}}",
            True,
        ),
        (ANY, "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}", True),
        (ANY, "{namespaceSelector: {matchLabels: {team: shop}}}", False),
        ("{ipBlock: {cidr: 192.0.2.0/25}}", "{ipBlock: {cidr: 192.0.2.0/24}}", True),
        ("{ipBlock: {cidr: 192.0.2.0/25}}", "{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.7/32]}}", False),
        (
            "{ipBlock: {cidr: 192.0.2.0/25}}",
            "{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.200/32]}}",
            True,
        ),
        ("{ipBlock: {cidr: 192.0.2.0/25}}", ANY, False),
    ],
)
def test_peers(narrow: str, wide: str, covered: bool) -> None:
    found = rules(to_api(f"[{{from: [{narrow}]}}, {{from: [{wide}]}}]"))
    assert [rule for rule, _ in found] == ["NP301"] * covered


@pytest.mark.parametrize(
    ("narrow", "wide", "covered"),
    [
        ("{port: 9000}", "{port: 1, endPort: 9100}", True),
        ("{port: 9000, endPort: 9200}", "{port: 1, endPort: 9100}", False),
        ("{port: 9000}", "{port: 9000, protocol: UDP}", False),
        ("{port: 9000}", "{protocol: TCP}", True),
        ("{port: api}", "{port: api}, {port: metrics}", True),
        ("{port: api}", "{port: 9000}", False),
    ],
)
def test_ports(narrow: str, wide: str, covered: bool) -> None:
    found = rules(to_api(f"[{{from: [{ANY}], ports: [{narrow}]}}, {{from: [{ANY}], ports: [{wide}]}}]"))
    assert [rule for rule, _ in found] == ["NP301"] * covered


TOGETHER = "ingress[0] and ingress[1] of the same policy allow all of it together"
HTTP, HTTPS = f"{{from: [{ANY}], ports: [{{port: 80}}]}}", f"{{from: [{ANY}], ports: [{{port: 443}}]}}"


def peer(where: str) -> str:
    return f"{{from: [{where}]}}"


def labelled(operator: str, *values: str) -> str:
    listed = f", values: [{', '.join(values)}]" if values else ""
    return peer(f"{{podSelector: {{matchExpressions: [{{key: app, operator: {operator}{listed}}}]}}}}")


@pytest.mark.parametrize(
    ("narrow", "parts", "covered"),
    [
        (f"{{from: [{ANY}], ports: [{{port: 80}}, {{port: 443}}]}}", (HTTP, HTTPS), True),
        (f"{{from: [{ANY}], ports: [{{port: 80}}, {{port: 8443}}]}}", (HTTP, HTTPS), False),
        (
            f"{{from: [{ANY}], ports: [{{port: api}}]}}",
            (
                f"{{from: [{ANY}], ports: [{{port: 1, endPort: 1023}}]}}",
                f"{{from: [{ANY}], ports: [{{port: 1024, endPort: 65535}}]}}",
            ),
            True,
        ),
        (
            f"{{from: [{ANY}], ports: [{{port: api}}]}}",
            (
                f"{{from: [{ANY}], ports: [{{port: 1, endPort: 1023}}]}}",
                f"{{from: [{ANY}], ports: [{{port: 1025, endPort: 65535}}]}}",
            ),
            False,
        ),
        (labelled("In", "web", "db"), (labelled("In", "web"), labelled("In", "db")), True),
        (labelled("Exists"), (labelled("In", "web"), labelled("NotIn", "web")), True),
        (labelled("Exists"), (labelled("In", "web"), labelled("In", "db")), False),
        (peer(ANY), (labelled("Exists"), labelled("DoesNotExist")), True),
        (
            peer("{ipBlock: {cidr: 192.0.2.0/24}}"),
            (peer("{ipBlock: {cidr: 192.0.2.0/25}}"), peer("{ipBlock: {cidr: 192.0.2.128/25}}")),
            True,
        ),
        (
            peer("{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/26]}}"),
            (peer("{ipBlock: {cidr: 192.0.2.0/25}}"), peer("{ipBlock: {cidr: 192.0.2.192/26}}")),
            True,
        ),
        (
            "{}",
            (
                peer("{namespaceSelector: {}}"),
                peer("{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: '::/0'}}"),
            ),
            True,
        ),
        ("{}", (peer("{namespaceSelector: {}}"), peer("{ipBlock: {cidr: 0.0.0.0/0}}")), False),
    ],
)
def test_several_rules_cover_one_together(narrow: str, parts: tuple[str, str], covered: bool) -> None:
    found = [f for f in report(to_api(f"[{parts[0]}, {parts[1]}, {narrow}]")).findings if f.rule == "NP301"]
    said = {each.path: each.message for each in found}
    assert ("spec.ingress[2]" in said) == covered
    if covered:
        assert said == {"spec.ingress[2]": f"adds nothing: {TOGETHER}"}
    for part in parts:
        alone = report(to_api(f"[{part}, {narrow}]")).findings
        assert "spec.ingress[1]" not in [each.path for each in alone if each.rule.startswith("NP3")]


def test_of_rules_with_very_many_peers_only_twins_are_found() -> None:
    """More boxes are not looked at than is worth it, and what is not looked at is not found."""
    peers = [f"{{podSelector: {{matchLabels: {{app: p{n}}}}}}}" for n in range(150)]
    one, other = peer(", ".join(peers)), peer(", ".join(reversed(peers)))
    assert [f.path for f in report(to_api(f"[{one}, {one}]")).findings if f.rule == "NP301"] == [
        "spec.ingress[1]"
    ]
    assert [f.path for f in report(to_api(f"[{one}, {other}]")).findings if f.rule == "NP301"] == []


def test_policies_cover_the_pods_of_one_together() -> None:
    wide = to_api(f"[{WEB}]")
    both = "{matchExpressions: [{key: app, operator: In, values: [api, db]}]}"
    many = wide.replace("{matchLabels: {app: api}}", both)
    one = wide.replace("name: api,", "name: one,")
    two = wide.replace("name: api,", "name: two,").replace("{app: api}}", "{app: db}}")
    said = {str(f.object): f.message for f in report(one, two, many).findings if f.rule == "NP301"}
    together = "shop/one ingress[0] and shop/two ingress[0] allow all of it together"
    assert said == {"shop/api": f"adds nothing: {together}"}
    assert "shop/api" not in {str(f.object) for f in report(one, many).findings if f.rule == "NP301"}


def test_a_rule_for_all_ports_is_wider_than_one_for_some() -> None:
    for written, number in (
        (f"[{WEB}, {{from: [{ANY}], ports: [{{port: api}}]}}]", None),
        (f"[{WEB}, {WEB[:-1]}, ports: [{{port: api}}]}}]", 1),
    ):
        found = [f.path for f in report(to_api(written)).findings]
        assert found == ([] if number is None else [f"spec.ingress[{number}]"])


def test_of_three_alike_two_are_needless() -> None:
    assert rules(to_api(f"[{WEB}, {WEB}, {WEB}]")) == [("NP301", "note")] * 2


def test_twins_in_two_policies_keep_the_first() -> None:
    one = to_api(f"[{WEB}]")
    [(rule, level)] = rules(one, one.replace("name: api,", "name: zapi,"))
    assert (rule, level) == ("NP301", "note")


def test_a_policy_without_rules_is_never_needless() -> None:
    """It isolates whoever comes, whatever other policies select today."""
    deny = to_api("[]").replace("{matchLabels: {app: api}}", "{}").replace("name: api,", "name: deny,")
    assert rules(deny, to_api(f"[{WEB}]")) == []
