"""How people name the ends of a question: `shop/deploy/web`, `app=web@shop`, an address. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policyd.ask.endpoints import SHORT, Endpoint, id_of
from policyd.ask.ends import End, end_at, end_of
from policyd.ask.fits import Packet
from policyd.ask.world import World
from policyd.errors import WrongUsage
from policyd.kube.cidr import parse_ip
from policyd.kube.objects import Pod
from policyd.kube.syntax import did_you_mean, quote
from policyd.kube.workloads import Service

INTERNET = ("internet", "outside")
#: How people call kinds → the kind.
_KINDS = {
    **{short: kind for kind, short in SHORT.items()},
    **{kind.lower(): kind for kind in SHORT},
    **{f"{kind.lower()}s": kind for kind in SHORT},
    "po": "Pod",
    "deployments.apps": "Deployment",
    "cj": "CronJob",
}
#: Names in a message; the rest is counted.
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means: one end or several; the Service that was named, if it was one."""

    ends: tuple[End, ...]
    service: Service | None = None


def find_one(world: World, text: str, namespace: str = "") -> Named:
    """The one end that a name means. WrongUsage if there is none, or there are several."""
    found = find(world, text, namespace)
    if len(found.ends) > 1:
        names = [end.text for end in found.ends]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise WrongUsage(f"{quote(text)} can mean {', '.join(names[:_NAMED])}{more}: name one of them")
    return found


def find(world: World, text: str, namespace: str = "") -> Named:
    """All ends that a name means. WrongUsage if there is none.

    `namespace` is that of names without one; "" is any.
    """
    if text in world.number:
        return Named((end_of(world, world.endpoints[world.number[text]]),))
    if text in INTERNET:
        return Named((End(anywhere=True),))
    try:
        family, value = parse_ip(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        pass
    else:
        return Named((end_at(world, family, value),))  # type: ignore[arg-type]
    prefix, _, rest = text.partition("/")
    if prefix == "node" and rest and "/" not in rest:
        return Named(tuple(_of_node(world, rest)))
    if prefix in ("svc", "service") and rest:
        return _of_service(world, rest, namespace)
    found = tuple(_by_labels(world, text, namespace) if "=" in text else _by_name(world, text, namespace))
    if not found:
        raise WrongUsage(f"there is no endpoint {quote(text)}{_hint(world, text)}")
    return Named(found)


def _of_node(world: World, name: str) -> Iterator[End]:
    node = world.state.nodes.get(name)
    if node is None:
        raise WrongUsage(f"there is no node {quote(name)}{did_you_mean(name, world.state.nodes)}")
    if not node.addresses:
        raise WrongUsage(f"node {name} has no address among the objects")
    family, value = parse_ip(node.addresses[0])
    yield end_at(world, family, value)  # type: ignore[arg-type]


def _of_service(world: World, name: str, namespace: str) -> Named:
    services: dict[str, Service] = world.services
    place, slash, last = name.rpartition("/")
    found = [
        service
        for service in services.values()
        if service.name == last and service.namespace == (place if slash else namespace or service.namespace)
    ]
    if len(found) != 1:
        names = ", ".join(f"svc/{s.namespace}/{s.name}" for s in found)
        hint = f": name one of {names}" if found else did_you_mean(name, services)
        hint = "; a port goes with the one who receives only" if ":" in name else hint
        raise WrongUsage(f"there is {'more than one' if found else 'no'} Service {quote(name)}{hint}")
    service = found[0]
    if service.selector is None:
        raise WrongUsage(
            f"Service {service.namespace}/{service.name} has no selector: name what is behind it"
        )
    wanted = set(service.selector)
    ends = tuple(
        end_of(world, endpoint)
        for endpoint in world.endpoints
        if endpoint.namespace == service.namespace
        and any(wanted <= set(pod.labels) for pod in endpoint.members)
    )
    if not ends:
        raise WrongUsage(f"Service {service.namespace}/{service.name} selects none of these pods")
    return Named(ends, service)


def _by_labels(world: World, text: str, namespace: str) -> Iterator[End]:
    """`app=web,tier=front@shop`."""
    labels, _, place = text.partition("@")
    wanted = set()
    for pair in labels.split(","):
        key, _, value = pair.partition("=")
        wanted.add((key, value))
    place = place or namespace
    for endpoint in world.endpoints:
        if place in ("", "*", endpoint.namespace) and wanted <= set(endpoint.labels):
            yield end_of(world, endpoint)


def _by_name(world: World, text: str, namespace: str) -> Iterator[End]:
    place, kind, name = _parts(text, namespace)
    for endpoint in world.endpoints:
        if place in ("", endpoint.namespace) and kind in ("", endpoint.kind) and name in ("*", endpoint.name):
            yield end_of(world, endpoint)
    if kind in ("", "Pod"):
        yield from _owned_pods(world, place, name)


def _parts(text: str, namespace: str) -> tuple[str, str, str]:
    """Namespace, kind and name of `shop/deploy/web`, `shop/web`, `deploy/web` and `web`; "" is any."""
    match text.split("/"):
        case [place, kind, name] if kind.lower() in _KINDS:
            return place, _KINDS[kind.lower()], name
        case [first, name] if first.lower() in _KINDS:
            return namespace, _KINDS[first.lower()], name
        case [place, name]:
            return place, "", name
        case [name] if name != "*":
            return namespace, "", name
        case _:
            return "?", "", text


def _owned_pods(world: World, namespace: str, name: str) -> Iterator[End]:
    """Pods that belong to a workload, by their own name."""
    for endpoint in world.endpoints:
        if endpoint.kind != "Pod" and namespace in ("", endpoint.namespace):
            for pod in endpoint.pods:
                if pod.name == name:
                    yield _pod_end(world, pod)


def _pod_end(world: World, pod: Pod) -> End:
    claims = world.claims
    hosts = sorted({claims.host_of(claim) for claim, each in enumerate(claims.pods) if each is pod})
    held = tuple(claims.hosts[host] for host in hosts)
    name = id_of(pod.namespace, "Pod", pod.name)
    endpoint = Endpoint(name, pod.namespace, "Pod", pod.name, pod.labels, (pod,), (pod,), pod.source, held)
    return End(endpoint, tuple(hosts))


def _hint(world: World, text: str) -> str:
    """What may be meant: a name like this one, or names that this one is a part of; else what there is."""
    known = {endpoint.id for endpoint in world.endpoints}
    known |= {f"{endpoint.namespace}/{endpoint.name}" for endpoint in world.endpoints}
    known |= {endpoint.name for endpoint in world.endpoints if "/" not in text}
    close = did_you_mean(text, known)
    if close or not world.endpoints:
        return close
    names = [each.id for each in world.endpoints if text in each.id] or [e.id for e in world.endpoints]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; there {'is' if len(names) == 1 else 'are'} {', '.join(names[:_NAMED])}{more}"


def judged_packet(named: Named, receiver: End, protocol: str, port: int | str | None) -> tuple[Packet, str]:
    """The packet that policies judge: behind a Service, to the port of the pod. And what to say of that.

    Raises WrongUsage for a port that the Service or the pod does not have.
    """
    said = ""
    if named.service is not None and port is not None:
        service = named.service
        name = f"svc/{service.namespace}/{service.name}"
        for each in service.ports:
            if each.protocol == protocol and port in (each.number, each.name or None):
                said = f"{name} port {each.number} leads to port {each.target} of its pods, which is judged"
                port = each.target
                break
        else:
            ports = ", ".join(f"{p.number}/{p.protocol}" for p in service.ports) or "none"
            raise WrongUsage(f"{name} has no port {port}/{protocol}; it has {ports}")
    if isinstance(port, str):
        members = receiver.endpoint.members if receiver.endpoint is not None else ()
        numbers = {p.number for pod in members for p in pod.ports if (p.name, p.protocol) == (port, protocol)}
        if len(numbers) != 1:
            if numbers:
                several = ", ".join(map(str, sorted(numbers)))
                raise WrongUsage(f"port {quote(port)} of {receiver.text} is {several}: give one of them")
            known = sorted({each.name for pod in members for each in pod.ports if each.name})
            names = f"; it names {', '.join(known)}" if known else ""
            hint = did_you_mean(port, known) or f"{names}: give a number"
            raise WrongUsage(f"{receiver.text} has no {protocol} port {quote(port)}{hint}")
        [port] = numbers
    return Packet(protocol, port), said
