"""NetworkPolicies over the whole grammar that the API server accepts, in every spelling of nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from tests.oracle import Manifest
from tests.strategies.chooser import Chooser, put
from tests.strategies.clusters import LABELS, NAMESPACE_LABELS, NAMESPACES, PORTS, Shape, labels

EXTERNALS = ("203.0.113.7", "2001:db8::7")  # nobody's, outside of every pod and node range
LENGTHS = {4: (32, 31, 30, 24, 16, 8, 1, 0), 6: (128, 127, 124, 64, 48, 8, 1, 0)}
TYPES: tuple[list[str], ...] = (["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Ingress", "Ingress"], [])
# The names that pods use, and one that nobody has (NP-054).
PORT_NAMES = (*dict.fromkeys(name for name, _, _ in PORTS), "nobody")
NUMBERS = (80, 53, 8080, 81, 1, 65535)


def policy(chooser: Chooser, name: str, cluster: list[Manifest], shape: Shape) -> Manifest:
    metadata = {"name": name, "namespace": chooser.one_of(_namespaces(cluster))}
    manifest: Manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
    }
    if chooser.chance(3):
        put(manifest, "spec", chooser, {})  # isolates the whole namespace (NP-001)
        return manifest
    spec = manifest["spec"] = {}
    put(spec, "podSelector", chooser, selector(chooser, LABELS))
    put(spec, "policyTypes", chooser, chooser.one_of(TYPES))
    addresses = addresses_of(cluster)
    for direction, peer_key in (("ingress", "from"), ("egress", "to")):
        rules = [_rule(chooser, peer_key, addresses, shape) for _ in range(chooser.one_of((1, 0, 2)))]
        put(spec, direction, chooser, rules)
    return manifest


def _namespaces(cluster: list[Manifest]) -> list[str]:
    used = {pod["metadata"]["namespace"] for pod in cluster if pod["kind"] == "Pod"}
    return [name for name in NAMESPACES if name in used]


def addresses_of(cluster: list[Manifest]) -> list[str]:
    """List the addresses that blocks are built around: pods, nodes, and one outsider in each family."""
    found = list(EXTERNALS)
    for manifest in cluster:
        status = manifest.get("status") or {}
        found += [entry["ip"] for entry in status.get("podIPs") or []]
        found += [entry["address"] for entry in status.get("addresses") or [] if entry["type"] != "Hostname"]
    return list(dict.fromkeys(found))


def _rule(chooser: Chooser, peer_key: str, addresses: list[str], shape: Shape) -> Manifest | None:
    counts = (1, 0, 2, 3) if shape.open_rules else (1, 2, 3)
    peers = [_peer(chooser, addresses, shape) for _ in range(chooser.one_of(counts))]
    ports = [_port(chooser) for _ in range(chooser.one_of((0, 0, 1, 2)))]
    if not peers and not ports and chooser.chance(30):
        return None  # stored as {} (NP-013)
    rule: Manifest = {}
    put(rule, peer_key, chooser, peers)
    put(rule, "ports", chooser, ports)
    return rule


def _peer(chooser: Chooser, addresses: list[str], shape: Shape) -> Manifest:
    match chooser.number(0, 5 if shape.open_rules else 3):
        case 0:
            return {"podSelector": selector(chooser, LABELS)}
        case 1:
            return {"namespaceSelector": namespace_selector(chooser)}
        case 2:
            return {
                "podSelector": selector(chooser, LABELS),
                "namespaceSelector": namespace_selector(chooser),
            }
        case _:
            return {"ipBlock": _ip_block(chooser, addresses, shape)}


def namespace_selector(chooser: Chooser) -> Manifest:
    """Choose a selector for namespaces, by label or by name."""
    vocabulary = {**NAMESPACE_LABELS, "kubernetes.io/metadata.name": NAMESPACES}
    return selector(chooser, vocabulary)


def selector(chooser: Chooser, vocabulary: dict[str, tuple[str, ...]]) -> Manifest:
    """Choose a label selector, often the empty one."""
    selector: Manifest = {}
    wanted = labels(chooser, vocabulary) if chooser.chance(30) else {}
    put(selector, "matchLabels", chooser, wanted)
    count = chooser.one_of((0, 0, 0, 1, 2))
    put(selector, "matchExpressions", chooser, [_requirement(chooser, vocabulary) for _ in range(count)])
    return selector


def _requirement(chooser: Chooser, vocabulary: dict[str, tuple[str, ...]]) -> Manifest:
    key = chooser.one_of((*vocabulary, "absent"))
    operator = chooser.one_of(("In", "NotIn", "Exists", "DoesNotExist"))
    requirement: Manifest = {"key": key, "operator": operator}
    values = vocabulary.get(key, ("x",))
    if operator in ("In", "NotIn"):
        requirement["values"] = [chooser.one_of(values) for _ in range(chooser.number(1, 2))]
    else:
        put(requirement, "values", chooser, [])
    return requirement


def _port(chooser: Chooser) -> Manifest | None:
    if chooser.chance(10):
        return chooser.one_of(({}, None))  # all TCP (NP-017)
    entry: Manifest = {}
    if protocol := chooser.one_of((None, "TCP", "UDP", "SCTP")):
        entry["protocol"] = protocol
    match chooser.number(0, 3):
        case 0:
            entry["port"] = chooser.one_of(NUMBERS)
        case 1:
            entry["port"] = chooser.one_of(PORT_NAMES)
        case 2:
            first = chooser.one_of(NUMBERS)
            entry |= {"port": first, "endPort": min(65535, first + chooser.one_of((1, 0, 20, 8000, 65535)))}
        case _:
            pass  # the whole protocol (NP-018)
    return entry


def _ip_block(chooser: Chooser, addresses: list[str], shape: Shape) -> Manifest:
    center = ip_address(chooser.one_of(addresses))
    length = chooser.one_of(LENGTHS[center.version])
    block: Manifest = {"cidr": str(ip_network((center, length), strict=False))}
    excepts = [
        text
        for _ in range(chooser.one_of((0, 1, 2, 3)))
        if (text := _except(chooser, block["cidr"], addresses)) is not None
    ]
    put(block, "except", chooser, excepts)
    if shape.legacy_text and chooser.chance(50):
        if excepts:
            block["except"] = [_legacy(chooser, text) for text in excepts]
        else:
            block["cidr"] = _legacy(chooser, block["cidr"])
    return block


def _except(chooser: Chooser, cidr: str, addresses: list[str]) -> str | None:
    """Choose a block that is strictly inside the CIDR, as the server demands (NP-088)."""
    block = ip_network(cidr)
    if block.prefixlen == block.max_prefixlen:
        return None
    inside = [ip_address(text) for text in addresses if ip_address(text) in block]
    center = chooser.one_of([*inside, block[0], block[-1]])
    longer = [length for length in LENGTHS[block.version] if length > block.prefixlen]
    length = chooser.one_of((*longer, block.prefixlen + 1))  # the last one is half of the block
    return str(ip_network((center, length), strict=False))


def _legacy(chooser: Chooser, cidr: str) -> str:
    """Spell a block as a server without StrictIPCIDRValidation still accepts it (NP-077, NP-081)."""
    block = ip_network(cidr)
    last: IPv4Address | IPv6Address = block[-1]
    if isinstance(last, IPv6Address):
        return f"{block[0].exploded.upper()}/{block.prefixlen}"
    zeros = ".".join(f"{int(part):03}" for part in str(block[0]).split("."))
    mapped = f"::ffff:{block[0]}/{96 + block.prefixlen}"
    return chooser.one_of((f"{last}/{block.prefixlen}", f"{zeros}/{block.prefixlen:02}", mapped))
