"""Faults of questions: answers that are not what the policies say, and rules that do not decide."""

from __future__ import annotations

from tests.faults.fault import Fault

PAGE = "docs/questions.md"
REACH = "tests/property/test_reach.py"
WHY = "tests/property/test_why.py"
EXPOSURE = "tests/property/test_exposure.py"
DIFF = "tests/property/test_diff.py"
MOVED = "tests/property/test_moved.py"
PACKETS = "tests/property/test_packets.py"
STRANGERS = "tests/unit/test_strangers.py::test_what_tiers_leave_open"
GRANTS = "tests/cli/test_published.py::test_a_route_leads_to_another_namespace_if_a_grant_there_lets_it"
LIVE = "tests/cli/test_live_namespace.py"

ASKING = (
    Fault(
        "a grant of any namespace lets routes in",
        PAGE,
        "policyd/kube/publishing.py",
        "            self.namespace == backend.namespace\n            and ",
        "            ",
        GRANTS,
    ),
    Fault(
        "a grant for some Services is for all",
        PAGE,
        "policyd/kube/publishing.py",
        "(None in self.services or backend.service in self.services)",
        "bool(self.services)",
        GRANTS,
    ),
    Fault(
        "what is open to a namespace's pods is open to all",
        PAGE,
        "policyd/ask/strangers.py",
        "return True if anywhere and not pods.requirements else None",
        "return True if not pods.requirements else None",
        f"{EXPOSURE}::test_what_is_open_to_all_is_open_to_a_stranger",
    ),
    Fault(
        "a rule for some who may come denies nobody",
        "CNP-005",
        "policyd/ask/strangers.py",
        "            if matching is not False:",
        "            if matching:",
        STRANGERS,
    ),
    Fault(
        "a pod that is not isolated is open to all whatever tiers deny",
        "CNP-005",
        "policyd/ask/strangers.py",
        "    found, _ = decide(gate.certain.stages, matches, masks.everything)",
        "    _, found = decide(gate.certain.stages, matches, masks.everything)",
        f"{EXPOSURE}::test_what_is_open_to_all_is_open_to_a_stranger",
    ),
    Fault(
        "a ClusterNetworkPolicy isolates",
        "CNP-002",
        "policyd/ask/exposure.py",
        "return gate is not None and any(stage.tier is Tier.NETWORK_POLICY for stage in gate.certain.stages)",
        "return gate is not None",
        "tests/unit/test_strangers.py::test_a_cluster_policy_isolates_nobody",
    ),
    Fault(
        "senders of several kinds are only one of them",
        PAGE,
        "policyd/ask/columns.py",
        "return found[0] if len(found) == 1 else reduce(or_, found, 0)",
        "return found[0] if found else 0",
        "tests/property/test_columns.py::test_columns_hold_what_the_masks_hold",
    ),
    Fault(
        "pairs look alike whatever addresses they have",
        PAGE,
        "policyd/ask/alike.py",
        "place = self._place(other) if peers.blocks else ()",
        "place = ()",
        f"{DIFF}::test_a_change_has_the_rules_of_its_own_pair",
    ),
    Fault(
        "pairs look alike whatever selectors say",
        PAGE,
        "policyd/ask/alike.py",
        "            yield mask >> host & 1",
        "            yield mask & 1",
        f"{DIFF}::test_pairs_that_policies_tell_apart_have_rules_of_their_own",
    ),
    Fault(
        "networks of ClusterNetworkPolicies do not tell addresses apart",
        "CNP-024",
        "policyd/ask/why.py",
        "    for policy in world.state.cluster_policies.values():\n        yield from",
        "    for policy in ():\n        yield from",
        "tests/property/test_kinds.py::test_a_network_of_a_cluster_policy_tells_equal_pods_apart",
    ),
    Fault(
        "what is said of one pod is said of all whose policies are the same",
        PAGE,
        "policyd/ask/kinds.py",
        "(kind_of_host(self._world, host, self._blocks, node=False), *self._gates(host))",
        "self._gates(host)",
        "tests/property/test_kinds.py::test_an_assertion_about_all_fails_for_whom_why_says_so",
    ),
    Fault(
        "over several connections counts what is not decided",
        PAGE,
        "policyd/ask/hops.py",
        "(each.sender.id, each.receiver.id, each.judged.allowed)",
        "(each.sender.id, each.receiver.id, each.judged.possible)",
        f"{EXPOSURE}::test_hops_reach_whom_a_search_of_all_pairs_reaches",
    ),
    Fault(
        "what one of several pods may do all may do",
        PAGE,
        "policyd/ask/judged.py",
        "allowed, possible = allowed & each.allowed, possible | each.possible",
        "allowed, possible = allowed | each.allowed, possible | each.possible",
        "tests/cli/test_questions.py::test_pods_that_differ_make_the_workload_unknown",
    ),
    Fault(
        "a namespace that nobody gave has no labels",
        "NP-168",
        "policyd/ask/doubt.py",
        "            if found or (found is None and self._generous):",
        "            if found:",
        f"{WHY}::test_it_says_what_reach_says",
    ),
    Fault(
        "what a sender may not send is open if the receiver takes it",
        "NP-001",
        "policyd/ask/judged.py",
        "        return Judged(self.allowed & them.allowed, self.possible & them.possible)",
        "        return Judged(them.allowed, them.possible)",
        f"{REACH}::test_pods_of_which_all_is_known_are_judged_as_the_oracle_does",
    ),
    Fault(
        "what a block leaves out is open to addresses outside",
        "NP-042",
        "policyd/ask/blocks.py",
        "        Block(_print(family, prefix), tuple(_print(family, each) for each in sorted(excepts)))",
        "        Block(_print(family, prefix))",
        "tests/cli/test_questions.py::test_reach_answers_the_example",
    ),
    Fault(
        "a rule that allows some of it is named as one that allows it",
        PAGE,
        "policyd/ask/fits.py",
        "        return self.port and self.peer is True",
        "        return self.peer is True",
        f"{WHY}::test_of_two_addresses_it_says_what_the_oracle_says",
    ),
    Fault(
        "a rule without which it is allowed is left out",
        PAGE,
        "policyd/ask/why.py",
        "            if fit.allows:\n                found.setdefault",
        "            if fit.allows and not found:\n                found.setdefault",
        f"{WHY}::test_its_rules_are_those_without_which_it_is_denied",
    ),
    Fault(
        "what is not known in one world counts as opened",
        PAGE,
        "policyd/ask/diff.py",
        "_in(here, family).allowed - _in(there, family).possible for family",
        "_in(here, family).allowed - _in(there, family).allowed for family",
        f"{DIFF}::test_what_opens_is_allowed_in_the_new_world_and_denied_in_the_old",
    ),
    Fault(
        "who is isolated by a new policy is not asked about",
        PAGE,
        "policyd/ask/moved.py",
        "            receivers.add(name)\n    return",
        "            senders.add(name)\n    return",
        f"{MOVED}::test_a_policy_that_goes_moves_whom_it_selects",
    ),
    Fault(
        "the rules of one pair are told of another",
        PAGE,
        "policyd/ask/diff.py",
        "        key = self._alike.of_pair(sender, receiver), ports, family",
        "        key = self._alike.of_pair(receiver, receiver), ports, family",
        f"{DIFF}::test_a_change_has_the_rules_of_its_own_pair",
    ),
    Fault(
        "a packet to another node is judged where it begins alone",
        PAGE,
        "policyd/cli/why_packets.py",
        '            yield Stop(destination, "forward", "ingress")\n    elif',
        "            pass\n    elif",
        "tests/cli/test_packets.py::test_a_packet_is_walked_on_each_node_that_judges_it",
    ),
    Fault(
        "an answer that the ruleset does not keep passes for one that it does",
        PAGE,
        "policyd/cli/why_packets.py",
        "    if expected is not None and expected != trace.verdict:",
        '    if expected == "" and expected != trace.verdict:',
        "tests/cli/test_packets.py::test_a_walk_that_differs_from_the_answer_is_a_bug",
    ),
    Fault(
        "an address of a namespace that may not be read is one outside",
        PAGE,
        "policyd/ask/ends.py",
        '    return f"only namespace {world.only_namespace} was read',
        '    return "" and f"only namespace {world.only_namespace} was read',
        f"{LIVE}::test_what_is_seen_is_answered_and_the_rest_is_unknown",
    ),
    Fault(
        "of a node's connections only those of one family are read",
        PAGE,
        "policyd/cli/diff_nodes.py",
        "        addresses[family].add(address)",
        "        addresses[4].add(address) if family == 4 else None",
        "tests/cli/test_diff_nodes.py::test_live_connections_are_read_from_the_kernel_of_the_node",
    ),
    Fault(
        "a connection that was denied before is cut by the change",
        PAGE,
        "policyd/cli/diff_flows.py",
        "flows[number]) for number in after - before)",
        "flows[number]) for number in after)",
        "tests/cli/test_diff_nodes.py::test_live_connections_that_a_change_cuts_are_counted",
    ),
)
