"""Faults in who knows a node's own pods, API server or kubelet; and in what a mesh makes of policies."""

from __future__ import annotations

from tests.faults.fault import Fault

TWO = "policyd/node/two_sources.py"
FOLLOWER = "policyd/agent/sources/kubelet.py"
MESSAGE = "policyd/kubelet/message.py"
MESH = "policyd/cluster/mesh_ports.py"
MERGED = "tests/node/test_two_sources.py"
FOLLOWED = "tests/agent/test_kubelet_pods.py"
READ = "tests/kubelet/test_message.py"
NEWER = "a node's pods: the newer word counts"

OWN_PODS = (
    Fault(
        "a kubelet that ends before it was asked ends who asks",
        "DESIGN: a node's own pods",
        "policyd/kubelet/client.py",
        "    except Exception as error:  # noqa: BLE001 HTTP/2 below the library has errors of its own\n",
        "    except OSError as error:\n",
        "tests/agent/test_kubelet_pods.py::test_a_connection_that_is_lost_before_it_is_used_is_tried_again",
    ),
    Fault(
        "an address counts as the API server knows it, which the kubelet has yet to tell",
        NEWER,
        TWO,
        "placed = said if said.has_address else api",
        "placed = newer if newer.has_address else said",
        f"{MERGED}::test_the_newer_word_counts",
    ),
    Fault(
        "a kubelet that has not heard of new labels takes them back",
        NEWER,
        TWO,
        "newer = said if said.version >= api.version else api",
        "newer = said",
        f"{MERGED}::test_the_newer_word_counts",
    ),
    Fault(
        "the end of a pod's containers is passed over",
        "NP-100",
        TWO,
        "return replace(api, terminal=True)",
        "return api",
        f"{MERGED}::test_a_pod_that_has_ended_gives_its_address_away",
    ),
    Fault(
        "a pod that ended takes the next one of its name with it",
        "NP-100",
        TWO,
        "            if is_same:\n                self._words[key] = Word(known.pod, ended=True)",
        "            self._words[key] = Word(known.pod, ended=True)",
        f"{MERGED}::test_the_end_of_one_pod_is_not_that_of_the_next_of_its_name",
    ),
    Fault(
        "a kubelet brings back what the API server deleted",
        NEWER,
        TWO,
        "                    self._deleted.add(word.pod.uid)\n",
        "",
        f"{MERGED}::test_a_pod_that_the_api_server_deleted_stays_so_whatever_the_kubelet_says_of_it",
    ),
    Fault(
        "a kubelet says what pods other nodes have",
        NEWER,
        TWO,
        " or (not word.ended and word.pod.node != self._node)",
        "",
        f"{MERGED}::test_a_pod_of_another_node_is_not_taken_of_the_kubelet",
    ),
    Fault(
        "pods of other nodes are kept a second time",
        "a node's memory grows with its own pods",
        TWO,
        "                    del self._api[key], self._told[key]  ",
        "                    pass  ",
        f"{MERGED}::test_what_other_nodes_get_is_not_kept",
    ),
    Fault(
        "what a kubelet said is forgotten while nobody else can be asked",
        "what is in force stays in force",
        FOLLOWER,
        " and self._api_answers():",
        ":",
        f"{FOLLOWED}::test_what_a_kubelet_said_stays_while_it_restarts",
    ),
    Fault(
        "events that a kubelet drops are missed for ever",
        "L15",
        FOLLOWER,
        "limit.reschedule(asyncio.get_running_loop().time() + life)",
        "limit.reschedule(None)",
        f"{FOLLOWED}::test_all_is_asked_for_again_now_and_then",
    ),
    Fault(
        "ports of native sidecars are not read of a kubelet's pods",
        "NP-062",
        MESSAGE,
        '    24: _Field("restartPolicy", _text),\n',
        "",
        f"{READ}::test_a_pod_is_read_whole",
    ),
    Fault(
        "of a kubelet's pods one label is read",
        "NP-002",
        MESSAGE,
        "before.update(read)",
        "pass",
        f"{READ}::test_a_pod_is_read_whole",
    ),
    Fault(
        "what is denied by port counts as enforced where a mesh carries it by another",
        "what is not enforced is said",
        MESH,
        'return "closed" if allows else "passed"',
        'return "closed" if allows else None',
        "tests/unit/cluster/test_mesh_ports.py::test_tiers_are_told_as_well",
    ),
)
