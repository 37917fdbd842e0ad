"""Kamailio behind our edges and between our edges and our home."""
import re

import pytest

import kamailio
import sipp
from belay import CLUSTER, DOMAIN
from sipp import Sipp


def edges_for(lab, transport, next_hop, by_name=False):
    """Two edges whose next hop is the proxy at `next_hop`; it says its address in Record-Route. by_name: they know it as
    the domain and nothing else."""
    by = "" if by_name else f', next: {{{DOMAIN}: "sip:{lab.ip(next_hop)};transport={transport};lr"}}'
    lab.users("joe", "bob")
    lab.members, lab.transport = {"e1": 1, "e2": 2}, transport
    for name in lab.members:
        lab.edge(name, lab.members, transport, home=lab.ip(next_hop),
                 trusted=f"[{lab.ip(next_hop)}, {lab.ip(100)}]",
                 extra=f", plain: {DOMAIN}{by}")


def phone(lab, user, host):
    """A belay phone that is told its edge cluster: a home that is not belay redirects nobody to it."""
    p = lab.phone(user, f"--outbound-proxy=sip:{CLUSTER};lr", host=host)
    p.wait("registered", reg_id=2)
    return p


def talk(joe, bob):
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    for a, b in ((joe, bob), (bob, joe)):
        n, acks = len(a.events("answered", method="INVITE")), len(b.events("acked"))
        a.say("reinvite")
        assert a.wait("answered", n + 1, method="INVITE")["status"] == 200
        b.wait("acked", acks + 1)  # before that it must not send BYE (RFC 3261 section 15)


def bye(a, b):
    a.say("bye")
    b.wait("request", method="BYE")
    assert a.wait("answered", method="BYE")["status"] == 200


@pytest.fixture
def kamailio_home(lab, transport):
    kamailio.network(lab)
    kamailio.start(lab, kamailio.HOME, 100, DOMAIN)
    edges_for(lab, transport, 100)
    return lab


def test_home_call(kamailio_home):
    lab = kamailio_home
    joe, bob = phone(lab, "joe", 201), phone(lab, "bob", 202)
    talk(joe, bob)
    bye(bob, joe)


def test_home_known_by_its_name(lab, transport):
    kamailio.network(lab)
    kamailio.start(lab, kamailio.HOME, 100, DOMAIN)
    edges_for(lab, transport, 100, by_name=True)
    joe, bob = phone(lab, "joe", 201), phone(lab, "bob", 202)
    talk(joe, bob)
    bye(bob, joe)


def test_home_call_survives_an_edge(kamailio_home):
    lab = kamailio_home
    joe, bob = phone(lab, "joe", 201), phone(lab, "bob", 202)
    talk(joe, bob)
    lab.nodes["e1"].kill()
    bye(joe, bob)


def test_home_wrong_password(kamailio_home):
    p = kamailio_home.phone("joe", f"--outbound-proxy=sip:{CLUSTER};lr", host=201, secret="wrong", interactive=False)
    assert p.finish() == 1


def test_home_with_sipp(kamailio_home, transport):
    lab = kamailio_home
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.answer("bob"), sipp.is_hung_up()], to=lab.ip(2), host=202,
               transport=transport)
    bob.saw("SIP/2.0 200", "CSeq: 2 REGISTER")
    joe = Sipp(lab, "joe", [sipp.register("joe"), sipp.call("joe", "bob"), sipp.hang_up("joe")], to=lab.ip(1),
               host=201, transport=transport)
    joe.done()
    bob.done()


@pytest.mark.parametrize("by", ["caller", "called"])
@pytest.mark.parametrize("phones, core", [("udp", "tcp"), ("tcp", "udp")], ids=["udp-phones", "tcp-phones"])
def test_home_by_another_transport_than_the_phones(lab, phones, core, by):
    """The edge Record-Routes doubly: each side can send its BYE though it speaks only the transport of its own."""
    kamailio.network(lab)
    kamailio.start(lab, kamailio.HOME, 100, DOMAIN)
    edges_for(lab, core, 100)
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.answer("bob"),
                            sipp.hang_up("bob", 1) if by == "called" else sipp.is_hung_up()], to=lab.ip(2), host=202,
               transport=phones)
    bob.saw("SIP/2.0 200", "CSeq: 2 REGISTER")
    joe = Sipp(lab, "joe", [sipp.register("joe"), sipp.call("joe", "bob"),
                            sipp.hang_up("joe") if by == "caller" else sipp.is_hung_up()], to=lab.ip(1), host=201,
               transport=phones)
    joe.done()
    bob.done()
    routes = re.findall(r"<sip:joe[^>]*;d=[^>]*>", joe.log.read_text())
    for tp in (phones, core):
        assert any(f";transport={tp}" in r for r in routes), routes


def between(lab, transport, inbound):
    """Edges - Kamailio - home; with inbound the home's requests to the edges go by Kamailio, too."""
    kamailio.network(lab)
    kamailio.start(lab, kamailio.BETWEEN, 150)
    edges_for(lab, transport, 150)
    proxy = lab.ip(150)
    to_edges = f"{transport} {proxy}:5060" if inbound else ", ".join(f"{transport} {lab.ip(h)}:5060" for h in (1, 2))
    lab.belayd("h1", f"""\
node: h1
listen: [udp {lab.ip(100)}:5060, tcp {lab.ip(100)}:5060]
home: {{domain: {DOMAIN}, edge: {CLUSTER}, key_file: home.key, users_file: users, via: border.example.net}}
trust: {{border.example.net: {proxy}, {CLUSTER}: [{lab.ip(1)}, {lab.ip(2)}]}}
map: {{{CLUSTER}: [{to_edges}]}}
dns: {{use: no}}
workers: {lab.workers}
log: {{level: debug}}
""")


@pytest.mark.parametrize("inbound", [False, True], ids=["outbound", "both-ways"])
def test_between_call(lab, transport, inbound):
    between(lab, transport, inbound)
    joe, bob = phone(lab, "joe", 201), phone(lab, "bob", 202)
    talk(joe, bob)
    bye(bob, joe)


@pytest.mark.parametrize("inbound", [False, True], ids=["outbound", "both-ways"])
def test_between_call_survives_an_edge(lab, transport, inbound):
    between(lab, transport, inbound)
    joe, bob = phone(lab, "joe", 201), phone(lab, "bob", 202)
    talk(joe, bob)
    lab.nodes["e1"].kill()
    bye(joe, bob)
