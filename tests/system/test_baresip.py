"""baresip, unmodified: two proxies (RFC 5626) or one; its calls survive the death of the edge they were set up through."""
import pytest

import baresip
import sipp
from baresip import Baresip
from belay import DOMAIN
from sipp import Sipp

HOME = ", digest: md5"


def cluster(lab, transport, edges=3, **kw):
    names = baresip.network(lab)
    lab.cluster(edges=edges, transport=transport, home=HOME, **kw)
    return names


@pytest.fixture(params=[1, 2], ids=["1proxy", "2proxies"])
def proxies(request):
    return request.param


def test_registers(lab, transport, proxies):
    cluster(lab, transport)
    joe = Baresip(lab, "joe", 201, outbound=[1, 2][:proxies], transport=transport)
    for reg_id in range(1, proxies + 1):
        joe.registered(reg_id)


def test_call_to_a_belay_phone(lab, transport, proxies):
    cluster(lab, transport)
    joe = Baresip(lab, "joe", 201, outbound=[1, 2][:proxies], transport=transport)
    bob = lab.phone("bob", host=202)
    bob.wait("registered", reg_id=2)
    for reg_id in range(1, proxies + 1):  # it calls by the first one, whichever is registered first
        joe.registered(reg_id)
    joe.do("dial", f"sip:bob@{DOMAIN}")
    joe.wait("CALL_ESTABLISHED")
    bob.wait("acked")
    joe.do("hangup")
    bob.wait("request", method="BYE")


def test_call_from_a_belay_phone(lab, transport, proxies):
    cluster(lab, transport)
    joe = Baresip(lab, "joe", 201, outbound=[1, 2][:proxies], transport=transport)
    bob = lab.phone("bob", host=202)
    bob.wait("registered", reg_id=2)
    for reg_id in range(1, proxies + 1):  # it calls by the first one, whichever is registered first
        joe.registered(reg_id)
    bob.say(f"call sip:joe@{DOMAIN}")
    joe.wait("CALL_ESTABLISHED")
    assert bob.wait("answered", method="INVITE")["status"] == 200
    bob.say("reinvite")
    assert bob.wait("answered", 2, method="INVITE")["status"] == 200
    bob.say("bye")
    joe.wait("CALL_CLOSED")
    assert bob.wait("answered", method="BYE")["status"] == 200


def edge_of_invite(lab, joe):
    """The edge that the INVITE came to baresip by, as baresip itself reports it."""
    lines = joe.process.lines  # which may come later than what its control connection tells
    at = joe.process.until(lambda: next((i for i, line in enumerate(lines) if line.startswith("INVITE sip:joe")), 0),
                           "INVITE")
    source = lines[at - 1].split()[1].rpartition(":")[0]
    return next(n for n, h in lab.members.items() if lab.ip(h) == source)


def call_from_sipp(lab, transport, *end):
    """SIPp on e3 calls baresip on e1 and e2; the edge that the call came by is killed."""
    joe = Baresip(lab, "joe", 201, outbound=[1, 2], transport=transport)
    for reg_id in (1, 2):
        joe.registered(reg_id)
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.call("bob", "joe"), *end], to=lab.ip(3), host=202,
               transport=transport)
    joe.wait("CALL_ESTABLISHED")
    victim = edge_of_invite(lab, joe)
    assert victim in ("e1", "e2")
    lab.nodes[victim].kill()
    return joe, bob


def test_bye_to_baresip_after_its_edge_died(lab, transport):
    """SIPp, e3, home, and the edge that is left: two belay edges carry the BYE of a call whose own edge is gone."""
    cluster(lab, transport)
    joe, bob = call_from_sipp(lab, transport, sipp.told(), sipp.hang_up("bob"))
    bob.tell()
    joe.wait("CALL_CLOSED")
    bob.done()
