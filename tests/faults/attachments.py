"""Faults in what is done with the interfaces of pods, next to the rules that they become."""

from __future__ import annotations

from tests.faults.fault import Fault

GUARD = "tests/node/test_bridge_guard.py"

NODES = "tests/networks/test_nodes.py"

ATTACHMENTS = (
    Fault(
        "the table of the witness is one of which older nft dies, and kube-proxy with it",
        "docs/networks.md",
        "policyd/node/witness.py",
        "ttypeof iifname",
        "ttype ifname",
        "tests/node/test_facts.py::test_what_the_witness_writes_can_be_read_by_older_programs",
    ),
    Fault(
        "pods of other nodes on a bridge of this one are taken for unknown pods",
        "NP-107",
        "compiler/policyd_compiler/lower/guard.py",
        "        names = self.snapshot.network.shared\n",
        "        names = ()\n",
        f"{NODES}::test_pods_of_two_nodes_on_one_link_are_judged_by_who_they_are",
    ),
    Fault(
        "a port that may lead to a pod makes its bridge one of other nodes",
        "NP-107",
        "policyd/node/attach.py",
        "for link in on_bridges if link.name not in ports}\n    return",
        "for link in on_bridges}\n    return",
        "tests/node/test_attach.py::test_a_bridge_with_a_port_to_elsewhere_may_lead_to_pods_of_other_nodes",
    ),
    Fault(
        "a table that the kernel refuses is compiled nevertheless",
        "NP-160",
        "policyd/node/bridge_guard.py",
        "        return replace(attachments, bridges=()), unguarded(attachments, refused)\n",
        "        return attachments, unguarded(attachments, refused)\n",
        f"{GUARD}::test_a_kernel_that_refuses_it_binds_pods_by_their_bridge_and_is_asked_again",
    ),
    Fault(
        "an nft that does not answer counts as a kernel that takes everything",
        "NP-160",
        "policyd/node/bridge_guard.py",
        'return f"whether the kernel takes a table in family bridge is not known: {error}"',
        'return f"{error}"[:0]',
        f"{GUARD}::test_a_kernel_that_cannot_be_asked_is_not_taken_to_agree",
    ),
    Fault(
        "the first ruleset does not wait for the interfaces of the pods",
        "NP-162",
        "policyd/object_store.py",
        '        return kinds or (("interfaces",) if self._expects_attachments else ())\n',
        "        return kinds\n",
        "tests/agent/test_store.py::test_it_waits_for_interfaces_that_were_read_when_every_pod_was_known",
    ),
    Fault(
        "interfaces count that were read before every pod was known",
        "NP-162",
        "policyd/object_store.py",
        "        if complete and self._expects_attachments:\n",
        "        if self._expects_attachments:\n",
        "tests/agent/test_store.py::test_it_waits_for_interfaces_that_were_read_when_every_pod_was_known",
    ),
    Fault(
        "a file may say that the port of a pod leads to none",
        "NP-160",
        "policyd/cluster/attachments.py",
        "    _check_ports(file, found)\n",
        "",
        "tests/cli/test_attachments.py::test_a_mistake_is_named_with_its_place",
    ),
    Fault(
        "the interfaces of this node count for every node",
        "NP-162",
        "policyd/doctor/agent_client.py",
        '    if answer.settings.get("node") != node:\n',
        "    if not told.settings:\n",
        "tests/cli/test_attachments.py::test_live_has_them_of_the_agent_of_the_node_it_compiles_for",
    ),
    Fault(
        "cleanup leaves the table in family bridge",
        "decisions 7",
        "policyd/applier/backend.py",
        'return f"{script}delete table bridge {name}\\n" if beside else script',
        "return script",
        "tests/deploy/test_cleanup.py::test_cleanup_removes_both_tables_and_names_them",
    ),
    Fault(
        "the saved ruleset is without the table in family bridge",
        "NP-160",
        "policyd/saved_state.py",
        "    body = print_replace(stamp(saved.table, saved.generation))\n",
        "    body = print_replace(stamp(saved.table, saved.generation)).partition('add table bridge')[0]\n",
        "tests/agent/test_state.py::test_both_tables_are_saved_loaded_and_brought_back_by_nft",
    ),
)
