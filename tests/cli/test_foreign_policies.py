"""Policies that other engines enforce lie next to ours: they are told, and stop nothing unless asked to."""

from __future__ import annotations

import json

import pytest

from tests.cases.form import namespace, pod, policy
from tests.cli.calls import Call, as_list, node
from tests.oracle import Manifest

OURS: tuple[Manifest, ...] = (node("n1"), namespace("x"), pod("x/a", "10.0.0.1"), policy("x", name="deny"))


def foreign(version: str, kind: str = "NetworkPolicy") -> Manifest:
    """An object with the name of one of ours, as a cluster with two engines may have."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "deny", "namespace": "x"}, "spec": {}}


CALICO = foreign("projectcalico.org/v3")
ANTREA = foreign("crd.antrea.io/v1beta1")
GLOBAL = foreign("projectcalico.org/v3", "GlobalNetworkPolicy")


def bare(manifest: Manifest) -> Manifest:
    """An item of a typed list, which does not say what it is."""
    return {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}


FORMS = {
    "yaml": "\n---\n".join(json.dumps(item) for item in (*OURS, CALICO, ANTREA, GLOBAL)),
    "list": as_list(*OURS, CALICO, ANTREA, GLOBAL),
    "list of lists": as_list(
        *OURS,
        {"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicyList", "items": [bare(CALICO)]},
        {"apiVersion": "v1", "kind": "List", "items": [ANTREA]},
        {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicyList", "items": [bare(GLOBAL)]},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_policies_for_other_engines_are_reported_and_ours_are_compiled(form: str, call: Call) -> None:
    result = call("compile", "-f", "-", "-o", "summary", stdin=FORMS[form])
    assert result.code == 0
    assert "x/a" in result.out
    assert "x/deny" in result.out
    lines = result.err.splitlines()
    assert sum("is a policy for another engine: it is NOT enforced here" in line for line in lines) == 3
    assert lines[-1] == "policyd: 3 warnings"


@pytest.mark.parametrize("form", FORMS)
def test_they_are_errors_on_demand(form: str, call: Call) -> None:
    result = call("compile", "-f", "-", "--foreign-policies", "error", stdin=FORMS[form])
    assert (result.code, result.out) == (3, "")
    assert result.err.splitlines()[-1] == "policyd: 3 errors"


def test_unknown_fields_have_nothing_to_do_with_them(call: Call) -> None:
    odd = {**CALICO, "spce": {}}
    result = call("compile", "-f", "-", "--unknown-fields", "error", stdin=as_list(*OURS, odd))
    assert result.code == 0


def test_a_kind_that_its_group_does_not_have_is_refused(call: Call) -> None:
    """Silence would let a misspelt policy pass for one that is enforced."""
    wrong = foreign("networking.k8s.io/v1", "PodNetworkPolicy")
    result = call("compile", "-f", "-", stdin=as_list(*OURS, wrong))
    assert (result.code, result.out) == (3, "")
    assert '"networking.k8s.io/v1" has no kind "PodNetworkPolicy"' in result.err
