"""IPv6, alone and beside IPv4: listeners, phones, and what stands in Via, Path, Record-Route and received."""
import socket

import pytest

from belay import CLUSTER, DOMAIN, message


@pytest.fixture
def net(lab):
    """A namespace whose loopback has fd00:7::1 and more."""
    lab.isolate()
    for h in (1, 2, 100, 201, 202, 240):
        lab.space.run("ip", "-6", "addr", "add", f"fd00:7::{h}/64", "dev", "lo", "nodad")
    return lambda h: f"[fd00:7::{h}]"


def cluster(lab, net, transport, listen=lambda h: [f"[fd00:7::{h}]"]):
    lab.users("joe", "bob")
    edges = {f"e{i}": net(i) for i in (1, 2)}

    def at(h):
        return ", ".join(f'"{t} {a}:5060"' for a in listen(h) for t in ("udp", "tcp"))
    lab.belayd("h1", f"""\
node: h1
listen: [{at(100)}]
home: {{domain: {DOMAIN}, edge: {CLUSTER}, key_file: home.key, users_file: users}}
trust: {{{CLUSTER}: ["fd00:7::1", "fd00:7::2"]}}
map: {{{CLUSTER}: [{", ".join(f'"{transport} {a}:5060"' for a in edges.values())}]}}
dns: {{use: no}}
workers: {lab.workers}
log: {{level: debug}}
""")
    members = ", ".join(f'{n}: "{a}"' for n, a in edges.items())
    for i, name in enumerate(edges, 1):
        lab.belayd(name, f"""\
node: {name}
listen: [{at(i)}]
edge: {{cluster: {CLUSTER}, key_file: cluster.key, members: {{{members}}}, home: {DOMAIN}}}
trust: {{{DOMAIN}: "fd00:7::100"}}
map: {{{DOMAIN}: "{transport} {net(100)}:5060"}}
dns: {{use: no}}
workers: {lab.workers}
log: {{level: debug}}
""")
    return [f"--map={DOMAIN}={transport}:{net(100)}:5060", *(f"--map={CLUSTER}={transport}:{a}:5060" for a in edges.values())]


def phone(lab, net, user, host, maps):
    return lab.phone(user, host=0, maps=[*maps, f"--bind={net(host)}"])


def test_a_call_survives_its_edge_over_ipv6(lab, net, transport):
    maps = cluster(lab, net, transport)
    joe, bob = phone(lab, net, "joe", 201, maps), phone(lab, net, "bob", 202, maps)
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    lab.nodes["e1"].kill()
    bob.say("bye")
    joe.wait("request", method="BYE")
    assert bob.wait("answered", method="BYE")["status"] == 200


def raw(lab, host, kind=socket.SOCK_DGRAM):
    s = lab.keep(lab.space.socket(kind, socket.AF_INET6))
    s.bind((f"fd00:7::{host}", 0))
    s.settimeout(10)
    return s


def test_what_headers_say_of_ipv6_addresses(lab, net):
    """In a URI and in sent-by with brackets (RFC 3261 section 25.1), as `received` without (RFC 5118 section 4.5)."""
    maps = cluster(lab, net, "udp")
    bob = phone(lab, net, "bob", 202, maps)
    bob.wait("registered", reg_id=2)
    assert any(f";maddr={net(1)}" in r["uri"] or f";maddr={net(2)}" in r["uri"] for r in bob.table()), bob.table()
    s = raw(lab, 240)
    port = s.getsockname()[1]
    s.sendto(message(f"OPTIONS sip:{net(1)} SIP/2.0", Via=f"SIP/2.0/UDP [fd00:7::99]:{port};branch=z9hG4bKx;rport",
                     Max_Forwards="70", From="<sip:x@[fd00:7::240]>;tag=1", To=f"<sip:{net(1)}>", Call_ID="x",
                     CSeq="1 OPTIONS"), ("fd00:7::1", 5060))
    answer = s.recv(65536).decode()
    assert answer.startswith("SIP/2.0 200 "), answer
    assert f"Via: SIP/2.0/UDP [fd00:7::99]:{port};branch=z9hG4bKx;received=fd00:7::240;rport={port}" in answer


def test_a_phone_of_each_family(lab, net, transport):
    """Edges with both; joe has IPv4 only, bob IPv6 only; each keeps flows to both edges, one of which dies."""
    lab.users("joe", "bob")
    both = {f"e{i}": (lab.ip(i), net(i)) for i in (1, 2)}
    members = ", ".join(f'{n}: [{four}, "{six}"]' for n, (four, six) in both.items())
    home = (lab.ip(100), net(100))
    lab.belayd("h1", f"""\
node: h1
listen: ["{transport} {home[0]}:5060", "{transport} {home[1]}:5060"]
home: {{domain: {DOMAIN}, edge: {CLUSTER}, key_file: home.key, users_file: users}}
trust: {{{CLUSTER}: ["fd00:7::1", "fd00:7::2", {lab.ip(1)}, {lab.ip(2)}]}}
map: {{{CLUSTER}: [{", ".join(f'"{transport} {six}:5060"' for _, six in both.values())}]}}
dns: {{use: no}}
workers: {lab.workers}
""")
    for i, (name, (four, six)) in enumerate(both.items()):
        lab.belayd(name, f"""\
node: {name}
listen: ["{transport} {four}:5060", "{transport} {six}:5060"]
edge: {{cluster: {CLUSTER}, key_file: cluster.key, members: {{{members}}}, home: {DOMAIN}}}
trust: {{{DOMAIN}: ["fd00:7::100", {lab.ip(100)}]}}
map: {{{DOMAIN}: "{transport} {home[i]}:5060"}}
dns: {{use: no}}
workers: {lab.workers}
""")
    def maps(k):
        return [f"--map={DOMAIN}={transport}:{home[k]}:5060",
                *(f"--map={CLUSTER}={transport}:{a[k]}:5060" for a in both.values())]
    joe = lab.phone("joe", host=201, maps=maps(0))
    bob = phone(lab, net, "bob", 202, maps(1))
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    lab.nodes["e1"].kill()
    for a, b in ((joe, bob), (bob, joe)):
        a.say("info")
        b.wait("request", method="INFO")
        assert a.wait("answered", method="INFO")["status"] == 200
    bob.say("bye")
    joe.wait("request", method="BYE")
    assert bob.wait("answered", method="BYE")["status"] == 200
