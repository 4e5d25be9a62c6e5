"""Faults in how rules come into force and stay there: watcher, store, reconciler, applier, and the fake."""

from __future__ import annotations

from tests.faults.fault import Fault

APPLY = "policyd/applier/apply.py"
DIRECTORY = "policyd/agent/sources/directory.py"
FAKE = "tests/fakes/fake_nft.py"
RECONCILER = "policyd/agent/reconciler.py"

APPLYING = "tests/applier/test_apply.py"
BACKENDS = "tests/applier/test_backends.py"
DRIFT = "tests/applier/test_drift.py::test_a_change_is_reported_and_fixed"
FILES = "tests/agent/test_directory.py"
LOOP = "tests/agent/test_reconciler.py"
ONCE = "policyd/cli/apply.py"
SURVIVAL = "tests/agent/test_survival.py"

NODE = (
    Fault(
        "where all pods are routed to one interface their own are not looked at",
        "NP-150",
        "policyd/node/blind.py",
        "(network and link.netns is not None)",
        "(network and link.index in reached)",
        "tests/node/test_findings.py::"
        "test_what_counts_are_the_interfaces_of_pods_and_not_the_one_that_routes_lead_to",
    ),
    Fault(
        "who was blind is taken to see when nothing is sent for a while",
        "NP-150",
        "policyd/agent/node_watch.py",
        'if measured.sight != "unknown" or self._measured.sight != "blind":',
        "if True:",
        "tests/agent/test_node_watch.py::test_blind_stays_blind_until_packets_are_seen_again",
    ),
    Fault(
        "a folder that cannot be read is taken for one without files",
        "decisions 8",
        DIRECTORY,
        "os.walk(self._directory, onerror=_raise)",
        "os.walk(self._directory)",
        f"{FILES}::test_a_folder_that_cannot_be_read_is_not_one_without_files",
    ),
    Fault(
        "a directory that was never read is taken for one without files",
        "NP-048",
        DIRECTORY,
        "not (self._synced or self._unread)",
        "not self._synced",
        f"{FILES}::test_a_directory_that_was_never_read_does_not_say_that_there_is_nothing",
    ),
)

APPLIER = (
    Fault(
        "an apply goes on after a refused step",
        "DESIGN: one swap",
        APPLY,
        "            await self._run(step)\n            done",
        "            try:\n"
        "                await self._run(step)\n"
        "            except Exception:\n"
        "                continue\n"
        "            done",
        f"{APPLYING}::test_what_is_refused_ends_the_apply_and_the_next_one_arrives[fake-stage]",
    ),
    Fault(
        "after a refusal the kernel is taken to hold what it held before",
        "decisions 14",
        APPLY,
        "            self._certain = False  # until all has gone well\n",
        "",
        f"{APPLYING}::test_what_is_refused_ends_the_apply_and_the_next_one_arrives[fake-commit]",
    ),
    Fault(
        "a successor counts generations from one",
        "decisions 7",
        APPLY,
        "self.generation = max(self.generation, unstamp(self._held)[1])",
        "self.generation = max(self.generation, 0)",
        f"{APPLYING}::test_the_generation_goes_on_from_what_the_kernel_holds[fake]",
    ),
    Fault(
        "elements are not compared with what was applied",
        "DESIGN: drift",
        "compiler/policyd_compiler/ruleset.py",
        "are_alike(one, other) and have_same_elements(one, other)",
        "are_alike(one, other)",
        f"{DRIFT}[an element less-program]",
    ),
    Fault(
        "a table that is dormant is taken for one at work",
        "DESIGN: drift",
        "compiler/policyd_compiler/nft/json_parser.py",
        'value, {"family", "name", "handle", "comment"}',
        'value, {"family", "name", "handle", "comment", "flags"}',
        "tests/unit/compiler/test_no_listing.py::test_a_dormant_table_is_foreign[dormant]",
    ),
    Fault(
        "a rule that cannot be read is passed over",
        "DESIGN: drift",
        "compiler/policyd_compiler/nft/json_parser.py",
        '            rule = Rule(Drop(), comment=f"{FOREIGN_RULE}{error}")\n',
        "            return\n",
        f"{DRIFT}[a rule that we would not write-program]",
    ),
    Fault(
        "the fake takes a jump to a chain that is not there",
        "DESIGN: the fake",
        "tests/fakes/fake_table.py",
        "            if self._chain(target).hook is not None:\n",
        "            if self.chains.setdefault(target, Chain(target)).hook is not None:\n",
        f"{BACKENDS}::test_refusal[fake-a jump to no chain]",
    ),
    Fault(
        "the fake keeps what came before the refused line",
        "DESIGN: the fake",
        FAKE,
        "after = {name: table.copy() for name, table in tables.items()}",
        "after = tables",
        f"{BACKENDS}::test_refused_script_changes_nothing[fake]",
    ),
)

AGENT = (
    Fault(
        "what failed is not tried again",
        "decisions 14",
        RECONCILER,
        "            self._state = self._state.waiting(burst)\n            return\n",
        "            return\n",
        "tests/agent/test_times.py::test_what_the_kernel_refuses_is_tried_again_with_pauses_that_grow",
    ),
    Fault(
        "a ruleset is written before every kind is known",
        "NP-048",
        RECONCILER,
        "while self._store.waiting_for and not self._stopping:",
        "while len(self._store.waiting_for) > 1 and not self._stopping:",
        f"{LOOP}::test_nothing_is_written_before_every_kind_is_complete",
    ),
    Fault(
        "of an object in two files the last counts",
        "decisions 14",
        DIRECTORY,
        "            now.setdefault((kind.name, kind.key(item)), item)\n",
        "            now[kind.name, kind.key(item)] = item\n",
        f"{FILES}::test_of_an_object_in_two_files_the_first_counts",
    ),
    Fault(
        "the answering side of a forgotten connection stays",
        "NP-122",
        "policyd/agent/connections/judge.py",
        "(flow.family, flow.protocol, flow.source, flow.source_port, flow.destination, flow.port) in ends",
        "(flow.family, flow.protocol, flow.destination, flow.port, flow.source, flow.source_port) in ends",
        "tests/agent/test_revoke.py::test_the_answering_side_of_a_forgotten_connection_is_forgotten_too",
    ),
    Fault(
        "a second network's address is the pod's",
        "NP-113",
        "policyd/node/cni_result.py",
        "if device != POD_INTERFACE or",
        'if device == "lo" or',
        "tests/agent/test_cni_cache.py::test_anything_else_is_none[other12]",
    ),
    Fault(
        "a hint takes another pod's address",
        "NP-166",
        "policyd/object_store.py",
        "v4=None if hint.v4 in v4 else hint.v4,",
        "v4=hint.v4,",
        "tests/agent/test_cni_cache.py::test_a_hint_takes_no_address_of_another_live_pod[other0-expected0]",
    ),
    Fault(
        "what an API server has not told yet is taken as not there",
        "NP-168",
        "policyd/agent/daemon.py",
        "return MissingNamespaces.UNKNOWN if settings.manifests is None else MissingNamespaces.NAMED",
        "return MissingNamespaces.NAMED",
        "tests/agent/test_addresses.py::test_only_a_directory_is_all_there_is[settings0-MissingNamespaces.UNKNOWN]",
    ),
    Fault(
        "compile --live takes a late Namespace as not there",
        "NP-168",
        "policyd/cli/live.py",
        'store = ObjectStore("", wake, kinds=kinds)',
        "from policyd.cluster.state import MissingNamespaces\n"
        '    store = ObjectStore("", wake, MissingNamespaces.NAMED, kinds=kinds)',
        "tests/cli/test_live.py::test_a_namespace_that_is_missing_may_still_come",
    ),
    Fault(
        "a pod that nothing closes is called closed",
        "NP-167",
        "policyd/pipeline.py",
        "is_open=f.is_open and not guarded",
        "is_open=f.is_open and guarded",
        "tests/agent/test_addresses.py::test_a_pod_without_a_possible_address_may_be_open[n1-x-interfaces0-True]",
    ),
    Fault(
        "a policy that the kernel refused isolates nobody",
        "decisions 8",
        "policyd/cluster/isolations.py",
        "                numbers = self._without_most_quarantined(numbers)\n",
        "                numbers = tuple(n for n in numbers if n not in self._quarantined)\n",
        f"{LOOP}::test_one_bad_policy_costs_only_its_own_pods",
    ),
    Fault(
        "a compiler that fails ends the agent",
        "decisions 8, 14",
        RECONCILER,
        "        except Exception as error:  # noqa: BLE001 one policy must",
        "        except EnvironmentRefused as error:  # one policy must",
        f"{SURVIVAL}::test_whatever_is_raised_one_policy_costs_only_its_own_pods[a slip]",
    ),
    Fault(
        "a refusal without a line is nobody's fault",
        "decisions 8, 14",
        "policyd/agent/hunt.py",
        "    return (tuple(named), tuple(changed), tuple(here))",
        "    return (tuple(named),)",
        f"{SURVIVAL}::test_whatever_is_raised_one_policy_costs_only_its_own_pods[refused without a line]",
    ),
    Fault(
        "a policy over its budget is compiled",
        "decisions 8",
        "policyd/pipeline.py",
        "        resolved = resolve(state, node, quarantined.union(each.policy for each in over))\n",
        "        resolved = resolve(state, node, quarantined)\n",
        "tests/agent/test_tenants.py::test_a_policy_over_its_budget_costs_only_its_own_pods",
    ),
    Fault(
        "candidates stay closed when the culprit is known",
        "decisions 8",
        "policyd/agent/attribution.py",
        "            return (yield from _narrow(circle))",
        "            return frozenset(circle)",
        f"{SURVIVAL}::test_all_culprits_among_many_are_found_and_no_other",
    ),
    Fault(
        "a compilation without an end goes on",
        "decisions 14",
        "policyd/agent/compiling.py",
        "    if worker.seconds() > seconds:",
        "    if worker.seconds() > 1e9:",
        "tests/agent/test_compiling.py::test_what_takes_too_long_is_given_up[compile_here]",
    ),
    Fault(
        "cycles in what was frozen are never found",
        "DESIGN: a ruleset that follows",
        "policyd/agent/long_lived.py",
        "            gc.unfreeze()\n",
        "",
        "tests/agent/test_long_lived.py::test_cycles_in_what_was_frozen_are_found_after_the_next_compilation",
    ),
    Fault(
        "policies that were followed are candidates",
        "decisions 8",
        "policyd/agent/reconciler.py",
        "            keep_policies(self._good, changes)",
        "            pass",
        f"{SURVIVAL}::test_policies_that_were_followed_are_no_candidates",
    ),
    Fault(
        "a compilation that drops the exception put into it goes on",
        "decisions 14",
        "policyd/agent/compiling.py",
        "                self._loop.call_later(LOOK_SECONDS, self.abandon)",
        "                pass",
        "tests/agent/test_compiling.py::test_a_cancelled_build_that_does_not_hear_it_is_given_up_again",
    ),
    Fault(
        "an agent that ends logs that its elements cannot be forgotten",
        "DESIGN: elements in place",
        "policyd/applier/in_place.py",
        "            except RuntimeError:  # the agent ends",
        "            except OSError:  # the agent ends",
        "tests/applier/test_elements_in_place.py::test_nothing_is_forgotten_when_the_agent_ends",
    ),
    Fault(
        "our own table that is too large to be listed is replaced again and again",
        "DESIGN: drift",
        APPLY,
        "        self._replaced = actual.too_large\n",
        "",
        f"{APPLYING}::test_our_own_table_that_is_too_large_to_be_listed_is_not_replaced_for_ever",
    ),
    Fault(
        "an object that is gone stays in the store",
        "NP-115",
        "policyd/object_store.py",
        "self._objects[kind].pop(key, None)",
        "self._objects[kind].get(key)",
        "tests/agent/test_store.py::test_the_last_word_counts",
    ),
    Fault(
        "a broken file takes back what it said",
        "decisions 14",
        DIRECTORY,
        "return _File(mark, before.objects, good=True, why=_in_short(errors))",
        "return _File(mark, objects, good=True, why=_in_short(errors))",
        f"{FILES}::test_a_broken_file_counts_as_it_was_when_it_was_good",
    ),
    Fault(
        "a broken file at the start takes the ruleset away",
        "decisions 7",
        DIRECTORY,
        "if self._keep_until_good and not self._synced and self.broken:",
        "if self._keep_until_good and not self._synced and not self._files:",
        f"{FILES}::test_with_a_ruleset_in_force_nothing_is_said_before_every_file_is_good",
    ),
    Fault(
        "only pods that were open before lose live connections",
        "NP-122",
        "compiler/policyd_compiler/changes.py",
        "if not same.verdicts(known.get(a), verdict))",
        "if a not in known)",
        "tests/unit/compiler/test_changes.py::test_who_is_judged_otherwise_is_reported",
    ),
    Fault(
        "what is asked by another name counts as the same, whoever is in it",
        "NP-122",
        "compiler/policyd_compiler/changes.py",
        "                return before.elements == after.elements\n",
        "                return True\n",
        "tests/unit/compiler/test_changes.py::test_by_another_name_peers_are_compared",
    ),
)

APPLY_ONCE = (
    Fault(
        "`policyd apply` replaces the table as a whole",
        "DESIGN: one swap",
        ONCE,
        "            applied = await applier.apply(built.table, exact=True)\n",
        "            await applier.remove()\n"
        "            applied = await applier.apply(built.table, exact=True)\n",
        "tests/cli/test_apply.py::test_what_did_not_change_is_not_touched_and_nothing_is_left_over",
    ),
    Fault(
        "`policyd apply` writes alongside an agent",
        "DESIGN: the claim",
        ONCE,
        "    with claim_node(table):\n",
        "    if table:\n",
        "tests/cli/test_apply.py::test_it_refuses_while_an_agent_is_at_work",
    ),
    Fault(
        "`policyd apply` leaves denied connections alive",
        "decisions 3",
        ONCE,
        "            if cut:\n",
        "            if not cut:\n",
        "tests/kernel/test_apply.py::test_a_connection_that_is_denied_now_is_ended_and_no_other[routed-cut]",
    ),
)

ENFORCEMENT = (*NODE, *APPLIER, *APPLY_ONCE, *AGENT)
