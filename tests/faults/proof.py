"""Faults in the proof that a ruleset is what the policies mean, and in who proves it when."""

from __future__ import annotations

from tests.faults.fault import Fault

PROVER = "policyd/agent/prover.py"
PROVERS = "tests/agent/test_prover.py"
BRIDGE = "tests/property/test_proof_bridge.py"
VERIFY = "tests/cli/test_verify.py"
SINCE = "tests/unit/proof/test_since.py"
PARTS = "tests/unit/proof/test_parts.py"
FORGED = "tests/unit/proof/test_forged.py"

PROOF = (
    Fault(
        "the frames of a bridge that come in are not looked at",
        "docs/verify.md",
        "policyd/proof/prove_bridge.py",
        'self._compare("prerouting", space, self._entering(space))',
        "self._entering(space)",
        f"{BRIDGE}::test_each_mistake_in_a_table_of_a_bridge_is_shown[forged]",
    ),
    Fault(
        "of tagged frames it is proved what holds of others",
        "docs/verify.md",
        "policyd/proof/frames.py",
        '"tagged": self.type_of(*TAGS),',
        '"tagged": self.type_of(ETHER[self.family]),',
        f"{BRIDGE}::test_each_mistake_in_a_table_of_a_bridge_is_shown[tagged]",
    ),
    Fault(
        "who hears a group is proved of those alone whose port is known",
        "docs/verify.md",
        "policyd/proof/bridge.py",
        'parts = ((self.space.named(of), Step("goto", chain)) for chain, of in receivers.items())',
        'parts = ((0, Step("goto", chain)) for chain, of in receivers.items())',
        f"{BRIDGE}::test_each_mistake_in_a_table_of_a_bridge_is_shown[heard]",
    ),
    Fault(
        "of a bit in two parts of a map both count",
        "docs/verify.md",
        "policyd/proof/parts.py",
        "                value &= ~inside\n",
        "                value |= inside\n",
        f"{PARTS}::test_of_a_bit_in_several_parts_the_first_counts",
    ),
    Fault(
        "boxes are one if their sides are, whatever becomes of them",
        "docs/verify.md",
        "policyd/proof/walk.py",
        "key = box[:side], box[side + 1 :], each[1:]",
        "key = box[:side], box[side + 1 :]",
        f"{PARTS}::test_joined_boxes_have_the_same_packets_with_the_same_end",
    ),
    Fault(
        "without a table in family bridge nothing is asked of it",
        "docs/verify.md",
        "policyd/proof/prove.py",
        "if self.table.bridge is None and not ports.guarded:",
        "if self.table.bridge is None:",
        f"{BRIDGE}::test_a_table_that_is_not_there_is_refused",
    ),
    Fault(
        "a ruleset is held to policies of which it was not made",
        "docs/verify.md",
        PROVER,
        "        if self._store.is_taken:\n",
        "        if self._store.said:\n",
        f"{PROVERS}::test_a_ruleset_of_a_cluster_that_has_changed_since_is_not_looked_at",
    ),
    Fault(
        "proofs follow each other without a rest",
        "docs/verify.md",
        PROVER,
        "max(REST_SECONDS, answer.seconds * SHARE)",
        "REST_SECONDS",
        f"{PROVERS}::test_it_takes_a_hundredth_of_a_processor_at_most_and_proves_the_last",
    ),
    Fault(
        "a bundle is judged as if no policy of it were quarantined",
        "decisions 8",
        "policyd/cli/rulesets.py",
        "return Bundled(loaded, found, _quarantined(files))",
        "return Bundled(loaded, found, frozenset())",
        f"{VERIFY}::test_a_bundle_is_proved_with_the_settings_of_its_agent",
    ),
    Fault(
        "what a tier leaves open is taken for accepted",
        "CNP-002",
        "policyd/proof/stages.py",
        "state = (passed | undecided, 0, accepted)",
        "state = (passed, 0, accepted | undecided)",
        "tests/unit/proof/test_stages.py::test_each_peer_and_port_is_decided_as_if_there_were_no_others",
    ),
    Fault(
        "a packet that a ruleset drops counts as proved",
        "docs/verify.md",
        "policyd/proof/mapped.py",
        '        wrong = asked.full & ~ports if does == "allow" else ports\n',
        '        wrong = asked.full & ~ports if does == "allow" else 0\n',
        f"{VERIFY}::test_a_ruleset_that_differs_is_shown_by_a_packet",
    ),
    Fault(
        "hairpins are let in whatever the setting says",
        "NP-096",
        "policyd/proof/hooks.py",
        'if scene.options.hairpin != "allow":',
        'if scene.options.hairpin == "":',
        f"{VERIFY}::test_other_settings_are_another_meaning",
    ),
    Fault(
        "who is open and not asked for counts as proved, whoever forges the node's address",
        "NP-145",
        "policyd/proof/at_hooks.py",
        "if INGRESS in other.asks and box[FROM_NODE] & 2:",
        "if False:",
        f"{FORGED}::test_forged_senders_are_refused_to_whoever_is_under_a_policy",
    ),
    Fault(
        "a packet that would have a pod's address and the node's is shown",
        "docs/verify.md",
        "policyd/proof/witness.py",
        "if packet.fib_local and packet.saddr in self.meaning.cluster.claims[packet.family]:",
        "if False:",
        f"{FORGED}::test_no_packet_is_shown_that_has_a_pods_address_and_the_nodes",
    ),
    Fault(
        "rules for interfaces match nothing where policies are asked",
        "docs/verify.md",
        "policyd/proof/space.py",
        "if field in self.unasked:",
        "if False:",
        "tests/unit/proof/test_unsaid.py::test_nothing_is_proved_of_it",
    ),
    Fault(
        "elements that differ are passed over after a change",
        "docs/verify.md",
        "policyd/proof/differing.py",
        "self.addresses[family].update(keys)",
        "self.addresses[family].update(())",
        f"{SINCE}::test_a_ruleset_that_somebody_changed_is_not",
    ),
    Fault(
        "a chain counts as proved before whatever rules it has now",
        "docs/verify.md",
        "policyd/proof/differing.py",
        "was is None or is_ is None or was.rules != is_.rules",
        "was is None or is_ is None",
        f"{SINCE}::test_a_ruleset_that_somebody_changed_is_not",
    ),
    Fault(
        "a policy that differs counts as proved before",
        "docs/verify.md",
        "policyd/proof/said.py",
        "or not self.unlike_policies.isdisjoint(pair.policies)",
        "or False",
        f"{SINCE}::test_a_ruleset_that_does_not_follow_is_not",
    ),
    Fault(
        "whom rules mean is not asked again after a change",
        "docs/verify.md",
        "policyd/proof/about.py",
        "if not selects(peer.pods, dict(pod.labels)):",
        "if True:",
        f"{SINCE}::test_a_ruleset_that_does_not_follow_is_not",
    ),
    Fault(
        "hooks that differ count as proved before",
        "docs/verify.md",
        "policyd/proof/since.py",
        "        if self._hooks_differ():\n",
        "        if False:\n",
        f"{SINCE}::test_a_ruleset_that_somebody_changed_is_not",
    ),
    Fault(
        "who was a pod may send with an address of the node",
        "NP-145",
        "policyd/proof/said.py",
        "(pods_differ and pair.kind == INGRESS and",
        "(False and",
        f"{SINCE}::test_an_address_that_is_no_pods_any_more_may_be_forged",
    ),
    Fault(
        "a proof relies on a ruleset that was not proved",
        "docs/verify.md",
        PROVER,
        "self._proved = claim if answer.proved and answer.plain else None",
        "self._proved = claim",
        f"{PROVERS}::test_what_is_wrong_is_found_by_comparing_all_and_no_proof_relies_on_it",
    ),
    Fault(
        "all of a ruleset is compared once, and never again",
        "docs/verify.md",
        PROVER,
        "self._clock.now() + RELIED_ON_SECONDS",
        "1e12",
        f"{PROVERS}::test_after_the_first_only_what_differs_is_compared_and_once_an_hour_all",
    ),
    Fault(
        "after a change nothing is proved of table bridge",
        "NP-166",
        "policyd/proof/since.py",
        "        if self.now.table.bridge is not None or is_.attachments.bridges:",
        "        if False:",
        "tests/property/test_proof_bridge.py::"
        "test_after_a_change_a_table_of_a_bridge_is_not_taken_for_proved[False]",
    ),
    Fault(
        "a map that is asked for both sides is taken for one of either",
        "docs/verify.md",
        "policyd/proof/walk.py",
        "if self.asked.setdefault(str(part.name), side) != side:",
        "if self.asked.setdefault(str(part.name), side) is None:",
        "tests/unit/proof/test_unsaid.py"
        "::test_nothing_is_proved_of_a_map_that_is_asked_for_senders_and_for_receivers",
    ),
)
