"""belay ua, the phone for scripts, against a cluster of belay."""
import pytest

from belay import BELAY, CLUSTER, DOMAIN


def test_registers_by_discovery_on_two_edges(lab, transport):
    lab.cluster(edges=3, transport=transport)
    joe = lab.phone("joe", host=201)
    assert joe.wait("redirected")["text"] == f"<sip:{CLUSTER};lr>" or CLUSTER in joe.wait("redirected")["text"]
    first, second = joe.wait("registered", reg_id=1), joe.wait("registered", reg_id=2)
    assert first["edge"] != second["edge"] and f"@{CLUSTER}" in first["edge"]
    rows = joe.table()
    paths = [r for r in rows if r["uri"].startswith("sip:joe+")]
    assert len({r["flow"] for r in paths}) == 2 and all(r["up"] and r["transport"] == transport.upper() for r in paths)
    joe.say("quit")
    assert joe.finish() == 0


def test_call_and_message(lab, transport):
    lab.cluster(transport=transport)
    bob = lab.phone("bob", host=202, verb="answer")
    bob.wait("registered", reg_id=2)
    joe = lab.phone("joe", "--hangup=50", host=201, verb=["call", f"sip:bob@{DOMAIN}"], interactive=False)
    assert bob.wait("invited")["from"] == f"sip:joe@{DOMAIN}"
    bob.wait("acked")
    bob.wait("request", method="BYE")
    assert joe.finish() == 0
    assert [e["status"] for e in joe.events("answered")] == [200, 200]
    note = lab.phone("joe", host=203, verb=["message", f"sip:bob@{DOMAIN}", "good evening"], interactive=False)
    assert note.finish() == 0
    assert bob.wait("request", method="MESSAGE")["body"] == "good evening"


def test_requests_inside_a_call_in_both_directions(lab, transport):
    lab.cluster(transport=transport)
    joe, bob = lab.phone("joe", host=201), lab.phone("bob", host=202)
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    for caller, callee in ((joe, bob), (bob, joe)):
        for command, method in (("reinvite", "INVITE"), ("update", "UPDATE"), ("info", "INFO"), ("options", "OPTIONS")):
            before = len(caller.events("answered", method=method))
            caller.say(command)
            if command != "options":  # which the stack answers by itself
                callee.wait("request", method=method)
            assert caller.wait("answered", before + 1, method=method)["status"] == 200
    bob.say("bye")
    joe.wait("request", method="BYE")
    assert bob.wait("answered", method="BYE")["status"] == 200


def test_cancel(lab, transport):
    lab.cluster(transport=transport)
    bob = lab.phone("bob", "--no-answer", host=202)
    joe = lab.phone("joe", host=201)
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    joe.wait("progress", status=180)
    joe.say("cancel")
    bob.wait("cancelled")
    assert joe.wait("answered", method="INVITE")["status"] == 487


def test_call_survives_its_edge(lab, transport):
    """Both edges of a call die one after the other; the re-INVITEs and the BYE arrive."""
    lab.cluster(transport=transport, extra=", flow_timer: 10s")
    joe, bob = lab.phone("joe", "--retry=4", host=201), lab.phone("bob", "--retry=4", host=202)
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    lab.nodes["e1"].kill()
    for a, b in ((joe, bob), (bob, joe)):
        before, acks = len(a.events("answered", method="INVITE")), len(b.events("acked"))
        a.say("reinvite")
        assert a.wait("answered", before + 1, method="INVITE")["status"] == 200
        b.wait("acked", acks + 1)
    for p in (joe, bob):
        p.wait("flow_down")  # over UDP by the next keep-alive
    lab.restart("e1")
    for p in (joe, bob):
        p.wait("registered", 3)
    lab.nodes["e2"].kill()
    bob.say("bye")
    joe.wait("request", method="BYE")
    assert bob.wait("answered", method="BYE")["status"] == 200


def test_legacy_phone(lab, transport):
    """No discovery, no stickiness: one configured edge, and calls both ways."""
    lab.cluster(transport=transport)
    at = f"sip:{lab.ip(1)};transport={transport};lr"
    old = lab.phone("joe", "--legacy", f"--outbound-proxy={at}", host=201,
                    maps=[f"--map={CLUSTER}={transport}:{lab.ip(1)}:5060"])
    assert "+*+" in old.wait("registered")["text"]  # a Path that names no edges
    assert not old.events("redirected")
    bob = lab.phone("bob", host=202)
    bob.wait("registered", reg_id=2)
    for a, b, there in ((old, bob, "bob"), (bob, old, "joe")):
        a.say(f"call sip:{there}@{DOMAIN}")
        b.wait("acked")
        b.say("bye")
        a.wait("request", method="BYE")
        assert b.wait("answered", method="BYE")["status"] == 200


def test_wrong_password_is_a_no(lab, transport):
    lab.cluster(edges=1, transport=transport)
    joe = lab.phone("joe", host=201, secret="wrong", interactive=False)
    assert joe.finish() == 1
    assert joe.events("register_failed")[-1]["status"] in (401, 403)
    ghost = lab.phone("nobody", host=202, interactive=False)
    assert ghost.finish() == 1


def test_registered_is_done(lab, transport):
    lab.cluster(edges=1, transport=transport)
    assert lab.phone("joe", host=201, interactive=False).finish() == 0


@pytest.mark.one_worker("no node runs")
def test_unreachable(lab):
    """Nobody there: it goes on trying for as long as a transaction may last, then says so."""
    lab.users("joe")
    phones = [lab.phone("joe", host=h, maps=[f"--map={DOMAIN}={tp}:{lab.ip(100)}:5060"], interactive=False)
              for h, tp in ((201, "udp"), (202, "tcp"))]
    for p in phones:
        assert p.finish(40) == 3
        assert p.events("register_failed")[0]["local"]


def test_callee_unknown_or_away(lab):
    lab.cluster(edges=1)
    for callee, code in (("bob", 480), ("nobody", 404)):
        joe = lab.phone("joe", host=201, verb=["call", f"sip:{callee}@{DOMAIN}"], interactive=False)
        assert joe.finish() == 1
        assert joe.wait("answered")["status"] == code


@pytest.mark.one_worker("no node runs")
def test_usage(lab):
    for args, words in ((["register"], "--aor is needed"), (["register", "--aor=joe"], "sip:user@domain"),
                        (["call", "--aor=sip:joe@a.example"], "whom to"),
                        (["call", "no uri", "--aor=sip:joe@a.example"], "not a URI"),
                        (["call", "--sing"], "belay ua: unrecognized option '--sing'"),
                        (["sing", "--aor=sip:joe@a.example"], "usage"),
                        (["register", "--aor=sip:joe@a.example", "--map=x"], "HOST=TRANSPORT:ADDRESS:PORT"),
                        (["register", "--aor=sip:joe@a.example", "--bind=here"], "--bind: \"here\" is not an IPv4 or IPv6 address"),
                        (["register", "--aor=sip:joe@a.example", "--outbound=edge, or so"], "--outbound-proxy: \"edge, or so\"")):
        rc, said = lab.run([BELAY, "ua", *args])
        assert rc == 2 and words in said, said
    rc, said = lab.run([BELAY, "ua", "--help"])
    assert rc == 0 and "register|call" in said


@pytest.mark.one_worker("the phone alone decides")
@pytest.mark.parametrize("command", ["bye", "cancel", "answer", "sing", "call bob"])
def test_commands_that_cannot_be(lab, command):
    lab.cluster(edges=1)
    joe = lab.phone("joe", host=201)
    joe.wait("registered")
    joe.say(command)
    assert joe.wait("error")["reason"]
