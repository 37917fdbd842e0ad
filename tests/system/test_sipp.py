"""SIPp, calling and called, through edges and home."""
import re

import pytest

import sipp
from sipp import Sipp


def test_call_between_two_edges(lab, transport):
    lab.cluster(transport=transport, home=sipp.HOME)
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.answer("bob"), sipp.is_hung_up()], to=lab.ip(2), host=202,
               transport=transport)
    bob.saw("SIP/2.0 200", "CSeq: 2 REGISTER")
    joe = Sipp(lab, "joe", [sipp.register("joe"), sipp.call("joe", "bob"), sipp.hang_up("joe")], to=lab.ip(1),
               host=201, transport=transport)
    joe.done()
    bob.done()


@pytest.mark.parametrize("by", ["caller", "called"])
def test_phones_over_udp_and_a_core_over_tcp(lab, by):
    lab.cluster(transport="tcp", home=sipp.HOME)
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.answer("bob"),
                            sipp.hang_up("bob", 1) if by == "called" else sipp.is_hung_up()], to=lab.ip(2), host=202)
    bob.saw("SIP/2.0 200", "CSeq: 2 REGISTER")
    joe = Sipp(lab, "joe", [sipp.register("joe"), sipp.call("joe", "bob"),
                            sipp.hang_up("joe") if by == "caller" else sipp.is_hung_up()], to=lab.ip(1), host=201)
    joe.done()
    bob.done()


def test_the_called_one_hangs_up(lab, transport):
    lab.cluster(transport=transport, home=sipp.HOME)
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.answer("bob"), sipp.hang_up("bob", 1)], to=lab.ip(2), host=202,
               transport=transport)
    bob.saw("SIP/2.0 200", "CSeq: 2 REGISTER")
    joe = Sipp(lab, "joe", [sipp.register("joe"), sipp.call("joe", "bob"), sipp.is_hung_up()], to=lab.ip(1), host=201,
               transport=transport)
    joe.done()
    bob.done()


def vias(message):
    """Transports of the Vias, the last hop's first."""
    return re.findall(r"^Via: SIP/2\.0/(\w+)", message, re.M)


def test_large_requests_go_by_tcp_between_proxies(lab):
    """3 KB each way, between phones on UDP behind proxies that talk UDP: only then, edge to home and home to edge
    change to TCP (RFC 3261 section 18.1.1), though the edges' UDP flows to the home come from a port of chance."""
    lab.cluster(home=sipp.HOME)
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.answer("bob"), sipp.invite_again("bob", 1, sipp.LARGE),
                            sipp.answer_again("bob"), sipp.is_hung_up()], to=lab.ip(2), host=202)
    bob.saw("SIP/2.0 200", "CSeq: 2 REGISTER")
    joe = Sipp(lab, "joe", [sipp.register("joe"), sipp.call("joe", "bob", sipp.LARGE), sipp.answer_again("joe"),
                            sipp.invite_again("joe", 2, sipp.LARGE), sipp.hang_up("joe", 3)], to=lab.ip(1), host=201)
    joe.done()
    bob.done()
    there = bob.saw("message received", "INVITE sip:bob@")
    back = joe.saw("message received", "INVITE sip:joe@")
    assert len(there) == 2 and [vias(m) for m in there + back] == [["UDP", "TCP", "TCP", "UDP"]] * 3


@pytest.mark.parametrize("by", ["sipp", "belay"])
@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
def test_bye_after_an_edge_of_the_belay_phone_died(lab, transport, which, by):
    """SIPp has one edge; the BYE gets through in both directions whichever of the belay phone's two edges dies."""
    lab.cluster(edges=3, transport=transport, home=sipp.HOME)
    joe = lab.phone("joe", host=201)
    p = joe.wait("registered", reg_id=2)["edge"]
    mine = sorted(n for n in lab.members if f"+{n}+" in p)
    spare = next(n for n in lab.members if n not in mine)
    end = [sipp.told(), sipp.hang_up("bob")] if by == "sipp" else [sipp.is_hung_up()]
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.call("bob", "joe"), *end], to=lab.ip(lab.members[spare]),
               host=202, transport=transport)
    joe.wait("acked")
    lab.nodes[mine[which]].kill()
    if by == "sipp":
        bob.tell()
        joe.wait("request", method="BYE")
    else:
        joe.say("bye")
        assert joe.wait("answered", method="BYE")["status"] == 200
    bob.done()
