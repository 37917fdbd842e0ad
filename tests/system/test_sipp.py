"""SIPp, calling and called, through edges and home."""
import pytest

import sipp
from sipp import Sipp


def test_call_between_two_edges(lab, transport, workers):
    lab.cluster(transport=transport, workers=workers, home=sipp.HOME)
    bob = Sipp(lab, "bob", [sipp.register("bob"), sipp.answer("bob"), sipp.is_hung_up()], to=lab.ip(2), host=202,
               transport=transport)
    bob.saw("SIP/2.0 200", "CSeq: 2 REGISTER")
    joe = Sipp(lab, "joe", [sipp.register("joe"), sipp.call("joe", "bob"), sipp.hang_up("joe")], to=lab.ip(1),
               host=201, transport=transport)
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
