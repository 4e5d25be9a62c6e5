"""Faults in what a policy means: reading manifests, selecting pods, resolving rules."""

from __future__ import annotations

from tests.faults.fault import Fault

CASE = "tests/property/test_meaning.py::test_case"
REFUSED = "tests/unit/kube/test_refused.py"
RESOLVED = "tests/unit/cluster/test_resolve.py"
CIDR = "policyd/kube/cidr.py"
DECODE = "policyd/kube/decode_policy.py"
INDEX = "policyd/cluster/index.py"
OWNERSHIP = "policyd/cluster/ownership.py"
PEERS = "policyd/cluster/peers.py"
RESOLVE = "policyd/cluster/resolve.py"

ADDRESSES = (
    Fault(
        "a leading zero in an address is octal",
        "NP-077",
        CIDR,
        "byte = _decimal(part)  # 010 is ten (NP-077)",
        "byte = int(part, 8) if part[:1] == '0' else _decimal(part)",
        f"{CASE}[NP-077-lead0]",
    ),
    Fault(
        "an IPv4-mapped block stays IPv6",
        "NP-077",
        CIDR,
        "return Written(Cidr(4, network & 0xFFFF_FFFF, length - 96), length)",
        "return Written(Cidr(family, network, length), length)",
        f"{CASE}[NP-077-mapped]",
    ),
    Fault(
        "an IPv6 block that holds more than the mapped ones is IPv4",
        "NP-078",
        CIDR,
        "    if family == 6 and length >= 96 and network >> 32 == MAPPED:\n",
        "    if family == 6 and length < 96 and value >> 32 == MAPPED:\n"
        "        return Written(Cidr(4, 0, 0), length)\n"
        "    if family == 6 and network >> 32 == MAPPED:\n",
        f"{CASE}[NP-078-mapped-wide]",
    ),
    Fault(
        "an except also applies to the other blocks of its rule",
        "NP-074",
        PEERS,
        "        return Peers(hosts=hosts, v4=union(v4), v6=union(v6))\n",
        "        blocks = [peer for peer in peers if isinstance(peer, IPBlock)]\n"
        "        holes = union(_interval(c) for b in blocks for c in b.excepts if c.family == 4)\n"
        "        return Peers(hosts=hosts, v4=subtract(union(v4), holes), v6=union(v6))\n",
        f"{CASE}[NP-074]",
    ),
    Fault(
        "a block of which nothing is left is any address",
        "NP-075",
        PEERS,
        "ranges = subtract((_interval(block.cidr),), holes)",
        "ranges = subtract((_interval(block.cidr),), holes) or (prefix_interval(family, 0, 0),)",
        f"{CASE}[NP-075]",
    ),
    Fault(
        "of a block with a bad except the rest matches",
        "NP-089",
        "policyd/kube/decode_peer.py",
        "if cidr is None or written is None or len(read) < len(excepts) or not known:",
        "if cidr is None or written is None or not known:",
        f"{CASE}[NP-089-except]",
    ),
)

SELECTORS = (
    Fault(
        "NotIn does not match where the key is missing",
        "NP-031",
        INDEX,
        "return self.everything & ~self._any_of(requirement)",
        "return self._having(requirement.key) & ~self._any_of(requirement)",
        f"{CASE}[NP-031]",
    ),
    Fault(
        "DoesNotExist takes an empty value for none",
        "NP-032",
        INDEX,
        "return self.everything & ~self._having(requirement.key)",
        'return self.everything & ~self._having(requirement.key) | self._with_value(requirement.key, "")',
        f"{CASE}[NP-032]",
    ),
    Fault(
        "an empty value in matchLabels matches where the key is missing",
        "NP-034",
        INDEX,
        "                return self._any_of(requirement)\n",
        "                missing = self.everything & ~self._having(requirement.key)\n"
        '                return self._any_of(requirement) | (missing if "" in requirement.values else 0)\n',
        f"{CASE}[NP-034-labels]",
    ),
    Fault(
        "an empty podSelector selects no pod",
        "NP-002",
        RESOLVE,
        "local & index.in_namespace(policy.namespace) & index.select(policy.pods)",
        "local & index.in_namespace(policy.namespace)\n"
        "        subjects &= index.select(policy.pods) if policy.pods.requirements else 0",
        f"{CASE}[NP-002-null]",
    ),
    Fault(
        "a peer's podSelector alone selects in all namespaces",
        "NP-036",
        PEERS,
        "            self._index.in_namespace(policy.namespace)\n",
        "            -1\n",
        f"{CASE}[NP-036-pods]",
    ),
    Fault(
        "a peer's namespaceSelector alone selects in the policy's namespace",
        "NP-036",
        PEERS,
        "else self._index.in_namespaces(peer.namespaces)",
        "else self._index.in_namespaces(peer.namespaces)\n"
        "            & (-1 if peer.pods.requirements else self._index.in_namespace(policy.namespace))",
        f"{CASE}[NP-036-ns]",
    ),
    Fault(
        "both selectors of one peer are alternatives",
        "NP-037",
        PEERS,
        "matched = where & self._index.select(peer.pods)",
        "matched = self._index.select(peer.pods)\n"
        "            matched = where | matched if peer.namespaces else where & matched",
        f"{CASE}[E10.1-ipv4]",
    ),
)

PORTS = (
    Fault(
        "a named port that resolves nowhere is any port",
        "NP-054",
        PEERS,
        "return union_ports(found) if found else NOTHING",
        "return union_ports(found) if found else EVERYTHING",
        f"{CASE}[NP-054]",
    ),
    Fault(
        "a named port of an ingress rule is resolved on the peer",
        "NP-050",
        PEERS,
        "peers, subject_ports(ports, subject), origins)",
        "peers, union_ports([NOTHING, *(one_port(p.protocol, n) for p in ports if isinstance(p.port, str) "
        "for n, _ in self._index.exposing(p.port, p.protocol))]), origins)",
        f"{CASE}[NP-050]",
    ),
    Fault(
        "a named port of an egress rule is its number on all pods",
        "NP-051",
        PEERS,
        "exposing = self._exposing(peers, self._claims.held(pods))",
        "exposing = peers",
        f"{CASE}[NP-051]",
    ),
    Fault(
        "a named port is found under any protocol",
        "NP-052",
        PEERS,
        "if p.name == name and p.protocol == protocol]",
        "if p.name == name]",
        f"{CASE}[NP-052-ingress]",
    ),
    Fault(
        "a port entry without a port is every protocol",
        "NP-018",
        PEERS,
        "            low, high = ALL_NUMBERS[0]\n",
        "            return EVERYTHING\n",
        f"{CASE}[NP-018]",
    ),
    Fault(
        "a port counts for every protocol",
        "NP-019",
        PEERS,
        "    return one_port(port.protocol, low, high)\n",
        "    return PortSet(((low, high),), ((low, high),), ((low, high),))\n",
        f"{CASE}[NP-019]",
    ),
    Fault(
        "ICMP passes where a port does",
        "NP-061",
        PEERS,
        "            return PortSet(tcp=((low, high),))\n",
        "            return PortSet(tcp=((low, high),), other=True)\n",
        f"{CASE}[NP-061]",
    ),
    Fault(
        "a range of ports ends one too early",
        "NP-025",
        PEERS,
        "number if port.end_port is None else port.end_port",
        "number if port.end_port is None else port.end_port - 1",
        f"{CASE}[NP-025]",
    ),
    Fault(
        "the ports of plain init containers count",
        "NP-062",
        "policyd/kube/decode_pod.py",
        'if key == "containers" or container.get("restartPolicy") == "Always":',
        "if ports:",
        f"{CASE}[NP-062]",
    ),
    Fault(
        "an init container that restarts at all is a sidecar",
        "NP-062",
        "policyd/kube/decode_pod.py",
        'if key == "containers" or container.get("restartPolicy") == "Always":',
        'if key == "containers" or container.get("restartPolicy"):',
        f"{CASE}[NP-062-restarted-otherwise]",
    ),
)

POLICIES = (
    Fault(
        "egress rules do not make a policy one for egress",
        "NP-004",
        DECODE,
        'return frozenset(TYPES.values()) if has_egress else frozenset({"ingress"})',
        'return frozenset({"ingress"})',
        f"{CASE}[NP-004-rule]",
    ),
    Fault(
        "rules count whose direction policyTypes does not list",
        "NP-007",
        DECODE,
        'rules["egress"] if "egress" in isolated else None',
        'rules["egress"] if "egress" in isolated or rules["egress"] else None',
        f"{CASE}[NP-007]",
    ),
    Fault(
        "peers of which none is understood are everybody",
        "decisions 8",
        DECODE,
        "_understood(peers) if written_peers else None",
        "_understood(peers) or None",
        f"{REFUSED}::test_a_bad_peer_matches_nothing_and_the_others_count[empty]",
    ),
    Fault(
        "a policy that cannot be understood isolates nobody",
        "decisions 8",
        DECODE,
        "isolated = directions or frozenset(TYPES.values())",
        "isolated = frozenset()",
        f"{REFUSED}::test_a_spec_that_is_not_understood_isolates_and_allows_nothing[types]",
    ),
)

PODS = (
    Fault(
        "a pod on the host's network is isolated",
        "NP-092",
        OWNERSHIP,
        "if not pod.host_network and not pod.terminal",
        "if not pod.terminal",
        f"{RESOLVED}::test_a_pod_on_the_network_of_its_node_is_no_endpoint",
    ),
    Fault(
        "a pod on the host's network is a peer",
        "NP-093",
        OWNERSHIP,
        "[pod for pod in pods if not pod.host_network and not pod.terminal]",
        "[__import__('dataclasses').replace(pod, node=None) if pod.host_network else pod"
        " for pod in pods if not pod.terminal]",
        f"{CASE}[NP-093-at-no-nodes-address]",
    ),
    Fault(
        "a pod that has ended keeps its address",
        "NP-100",
        OWNERSHIP,
        "if not pod.host_network and not pod.terminal",
        "if not pod.host_network",
        f"{CASE}[NP-101-peer]",
    ),
    Fault(
        "a pod that no node runs is every node's",
        "decisions 17",
        RESOLVE,
        "claim, pod in enumerate(claims.pods) if pod.node == node",
        "claim, pod in enumerate(claims.pods) if pod.node in (None, node)",
        f"{RESOLVED}::test_a_pod_that_no_node_runs_is_no_endpoint",
    ),
)

FOREIGN = (
    Fault(
        "a NetworkPolicy of another engine is taken for one of ours",
        "NP-010",
        "policyd/kube/decode_type.py",
        "    if ours is not None and version in ours.versions:\n",
        "    if ours is not None:\n",
        "tests/cli/test_foreign_policies.py::"
        "test_policies_for_other_engines_are_reported_and_ours_are_compiled[yaml]",
    ),
    Fault(
        "a kind that does not exist is passed over",
        "NP-010",
        "policyd/kube/decode_type.py",
        '    elif version == "v1" or group == "networking.k8s.io":\n',
        '    elif version == "v1":\n',
        "tests/cli/test_foreign_policies.py::test_a_kind_that_its_group_does_not_have_is_refused",
    ),
    Fault(
        "`compile --live` forgets the settings of the agent",
        "docs/cli.md",
        "policyd/cli/live.py",
        "warnings, settings.options(), settings.node or None, only)",
        "warnings, Options(), settings.node or None, only)",
        "tests/cli/test_live.py::test_it_compiles_with_the_settings_of_the_agent[environment]",
    ),
)

MEANING = (*FOREIGN, *ADDRESSES, *SELECTORS, *PORTS, *POLICIES, *PODS)
