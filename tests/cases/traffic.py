"""Named ports, protocols and address blocks (semantics 1.3, 1.4, 1.5, 1.6)."""

from __future__ import annotations

from tests.cases.form import block, case, egress, ingress, namespaces, pod, pods

OUTSIDE = "ext:203.0.113.7"
OUTSIDE6 = "ext:2001:db8::7"
HTTP = {"ports": [{"port": "http"}]}
SERVICE = "10.96.0.10"  # a ClusterIP: packets never carry it where policies are judged

NAMED_PORTS = (
    case(
        "NP-051-peers",
        egress("x", "a", {"to": [namespaces(team="green")], **HTTP}),
        allow=["x/a > y/a TCP/8000"],
        deny=["x/a > x/b TCP/8080", "x/a > y/a TCP/80", "x/a > y/b UDP/80"],
    ),
    case("NP-052-ingress", ingress("x", "a", {"ports": [{"port": "dns"}]}),
         deny=["x/b > x/a TCP/53", "x/b > x/a UDP/53"]),
    case(
        "NP-054",
        ingress("x", "a", {"ports": [{"port": "nobody"}]}),
        egress("y", "a", {"to": [namespaces()], "ports": [{"port": "nobody"}]}),
        allow=["x/a > x/b TCP/80"],
        deny=["x/b > x/a TCP/80", "y/a > x/b TCP/8080", f"y/a > {OUTSIDE} TCP/80"],
    ),
    case(
        "NP-054-ipblock",
        egress("x", "a", {"to": [block("0.0.0.0/0")], "ports": [{"port": "nobody"}]}),
        deny=["x/a > x/b TCP/8080", f"x/a > {OUTSIDE} TCP/80", "x/a > x/b TCP/8080 v6"],
    ),
    case(
        "NP-056",
        egress("x", "a", {"to": [block("10.244.2.0/24"), block("203.0.113.0/24")], **HTTP}),
        allow=["x/a > y/a TCP/8000"],
        deny=["x/a > x/b TCP/8080", f"x/a > {OUTSIDE} TCP/80", "x/a > y/a TCP/8000 v6", "x/a > y/b TCP/80"],
    ),
    case(
        "NP-056-ipv6",
        egress("x", "a", {"to": [block("fd00:10:244:2::/64")], **HTTP}),
        allow=["x/a > y/a TCP/8000 v6"],
        deny=["x/a > y/a TCP/8000", "x/a > x/b TCP/8080 v6"],
    ),
    case(
        "NP-058",
        egress("x", "a", HTTP),
        egress("x", "b", {"to": [block("192.0.2.0/24")], **HTTP}, name="q"),
        allow=["x/a > z/dup TCP/80"],
        deny=["x/a > z/host TCP/80", "x/b > z/host TCP/80"],
    ),
    case(
        "NP-062",
        ingress("z", "side", HTTP),
        allow=["x/a > z/side TCP/8888"],
        deny=["x/a > z/side TCP/7777", "x/a > z/side TCP/80"],
    ),
    case(
        "NP-062-restarted-otherwise",
        pod("y/i", "10.244.2.21", "fd00:10:244:2::15", spec={"initContainers": [
            {"name": "always", "restartPolicy": "Always", "ports": [{"name": "web", "containerPort": 8000}]},
            {"name": "never", "restartPolicy": "Never", "ports": [{"name": "web", "containerPort": 8001}]},
            {"name": "last", "restartPolicy": "OnFailure", "ports": [{"name": "web", "containerPort": 8002}]},
        ]}),
        ingress("y", "i", {"ports": [{"port": "web"}]}),
        allow=["x/a > y/i TCP/8000"],
        deny=["x/a > y/i TCP/8001", "x/a > y/i TCP/8002"],
    ),
    case(
        "NP-064",
        pod("y/h", "10.244.2.20", "fd00:10:244:2::14", ports=[
            {"name": "web", "containerPort": 8443, "hostPort": 443},
        ]),
        ingress("y", "h", {"ports": [{"port": "web"}]}),
        allow=["x/a > y/h TCP/8443"],
        deny=["x/a > y/h TCP/443"],
    ),
    case(
        "NP-065",
        ingress("x", "a", {"ports": [{"port": "http"}, {"port": 80}]}),
        allow=["y/a > x/a TCP/80"],
        deny=["y/a > x/a TCP/81"],
    ),
    case("NP-066", ingress("x", "c", {"ports": [{"port": 12345}]}), allow=["y/a > x/c TCP/12345"],
         deny=["y/a > x/c TCP/12346"]),
)  # fmt: skip

PROTOCOLS = (
    case(
        "NP-060",
        ingress("x", "a", {"from": [namespaces(team="green")]}),
        egress("y", "b", {}),
        allow=["y/a > x/a ICMP", "y/a > x/a OTHER", "y/b > x/a ICMP"],
        deny=["z/dup > x/a ICMP", "z/dup > x/a OTHER"],
    ),
    case(
        "NP-061",
        ingress("x", "a", {"ports": [
            {"protocol": "TCP"}, {"protocol": "UDP"}, {"protocol": "SCTP", "port": 1, "endPort": 65535},
        ]}),
        allow=["y/a > x/a TCP/1", "y/a > x/a UDP/1", "y/a > x/a SCTP/65535"],
        deny=["y/a > x/a ICMP", "y/a > x/a OTHER"],
    ),
    case(
        "NP-068",
        ingress("x", "a", {"ports": [{"protocol": "SCTP", "port": 80}]}),
        allow=["y/a > x/a SCTP/80"],
        deny=["y/a > x/a TCP/80", "y/a > x/a UDP/80", "y/a > x/a SCTP/81"],
    ),
    case(
        "NP-083",
        ingress("x", None, name="in"),
        egress("x", None, name="out"),
        allow=["x/a > x/b ND v6", f"{OUTSIDE6} > x/a ND v6", "x/a > node:n1 ND v6"],
        deny=["x/a > x/b ICMP v6"],
    ),
    case(
        "NP-085",
        ingress("x", "a", {"from": [pods(pod="b")]}, {"ports": [{"protocol": "UDP"}, {"protocol": "TCP"}]}),
        allow=["x/b > x/a OTHER"],
        deny=["x/c > x/a OTHER"],
    ),
    case(
        "NP-087",
        ingress("x", "a"),
        egress("x", "b", name="q"),
        deny=["y/a > x/a ICMP", "node:n2 > x/a ICMP", "x/b > y/a ICMP", "x/b > node:n2 ICMP"],
    ),
    case(
        "NP-121",
        ingress("x", "a", {}, name="in"),
        egress("x", "a", name="out"),
        allow=["y/a > x/a TCP/80"],
        deny=["x/a > y/a TCP/80"],
    ),
)  # fmt: skip

BLOCKS = (
    case(
        "NP-097-named-and-in-a-block",
        ingress("x", "a", {"from": [pods(pod="b")], "ports": [{"port": 80}]},
                {"from": [block("10.244.1.11/32")], "ports": [{"port": 81}]}),
        ingress("x", "c", {"from": [pods(pod="b")], "ports": [{"port": 80}]},
                {"from": [block("10.244.1.10/31")], "ports": [{"port": 81}]}, name="q"),
        allow=["x/b > x/a TCP/80", "x/b > x/a TCP/81", "x/b > x/c TCP/81", "x/a > x/c TCP/81"],
        deny=["x/c > x/a TCP/81", "x/a > x/c TCP/80"],
    ),
    case(
        "NP-072",
        ingress("x", "a", {"from": [block("0.0.0.0/0", "10.0.0.0/8")]}),
        allow=[f"{OUTSIDE} > x/a TCP/80", "node:n2 > x/a TCP/80", "ext:9.255.255.255 > x/a TCP/80",
               "ext:11.0.0.0 > x/a TCP/80"],
        deny=["x/b > x/a TCP/80", "ext:10.0.0.0 > x/a TCP/80", "ext:10.255.255.255 > x/a TCP/80",
              f"{OUTSIDE6} > x/a TCP/80 v6"],
    ),
    case(
        "NP-073",
        egress("x", "a", {"to": [block("10.0.0.0/8", "10.244.0.0/16")]}),
        egress("x", "a", {"to": [block("10.244.2.10/32")]}, name="q"),
        allow=["x/a > y/a TCP/80", "x/a > ext:10.1.0.1 TCP/80"],
        deny=["x/a > y/b TCP/80", "x/a > x/b TCP/80"],
    ),
    case(
        "NP-079",
        egress("x", "a", {"to": [block("10.244.2.0/24", "::ffff:10.0.0.0/104")]}),
        deny=["x/a > y/a TCP/80", f"x/a > {OUTSIDE} TCP/80"],
    ),
    case(
        "NP-080-edges",
        egress("x", "a", {"to": [block("fd00:10:244::/48", "fd00:10:244:2::/64", "fd00:10:244:3::b/128")]}),
        allow=["x/a > x/b TCP/80 v6", "x/a > z/side TCP/80 v6", "x/a > z/term TCP/80 v6",
               "x/a > ext:fd00:10:244:ffff:ffff:ffff:ffff:ffff TCP/80 v6"],
        deny=["x/a > y/a TCP/80 v6", "x/a > z/dup TCP/80 v6", "x/a > ext:fd00:10:245:: TCP/80 v6",
              "x/a > ext:fd00:10:243:ffff:ffff:ffff:ffff:ffff TCP/80 v6", "x/a > x/b TCP/80"],
    ),
    case(
        "NP-082",
        ingress("x", "a", {"from": [block("10.244.1.10/32")]}),
        allow=["x/a > x/a TCP/80"],
        deny=["x/b > x/a TCP/80", f"{OUTSIDE} > x/a TCP/80"],
    ),
    case(
        "NP-089-cidr",
        ingress("x", "a", {"from": [block("everywhere"), block("203.0.113.0/24")]}),
        allow=[f"{OUTSIDE} > x/a TCP/80"],
        deny=["x/b > x/a TCP/80", "ext:198.51.100.1 > x/a TCP/80"],
    ),
    case(
        "NP-089-except",
        ingress("x", "a", {"from": [block("0.0.0.0/0", "10.0.0.0/8", "nowhere"), block("10.244.1.11/32")]}),
        allow=["x/b > x/a TCP/80"],
        deny=[f"{OUTSIDE} > x/a TCP/80", "y/a > x/a TCP/80"],
    ),
    case(
        "NP-097",
        ingress("x", "a", {"from": [block("10.244.2.0/24")]}),
        egress("x", "b", {"to": [block("10.244.2.10/31")]}, name="q"),
        allow=["y/a > x/a TCP/80", "x/b > y/a TCP/80", "x/b > y/b TCP/80"],
        deny=["x/c > x/a TCP/80", "x/b > x/c TCP/80"],
    ),
    case(
        "NP-099",
        egress("x", "a", {"to": [block("224.0.0.0/4")]}),
        egress("x", "b", {"to": [namespaces()]}, name="q"),
        allow=["x/a > ext:224.0.0.251 UDP/5353"],
        deny=["x/b > ext:224.0.0.251 UDP/5353", "x/a > ext:255.255.255.255 UDP/67"],
    ),
    case(
        "NP-130",
        ingress("x", "b", {"from": [pods(pod="a")], "ports": [{"port": 8080}]}),
        allow=["x/a > x/b TCP/8080"],
        deny=["x/a > x/b TCP/80"],
    ),
    case(
        "NP-131",
        egress("x", "a", {"to": [block(f"{SERVICE}/32")], "ports": [{"port": 80}]}),
        deny=["x/a > x/b TCP/80", "x/a > x/b TCP/8080"],
    ),
    case(
        "NP-132",
        egress("x", "a", {"to": [block("192.0.2.1/32")], "ports": [{"port": 6443}]}),
        egress("x", "b", {"to": [namespaces()], "ports": [{"port": 6443}]}, name="q"),
        allow=["x/a > node:n1 TCP/6443"],
        deny=["x/a > node:n1 TCP/443", "x/a > node:n2 TCP/6443", "x/b > node:n1 TCP/6443"],
    ),
)  # fmt: skip
