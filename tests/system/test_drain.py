"""belay drain: phones leave an edge before it is stopped; no call is lost."""
import belay


def admin(lab, verb, node, *args):
    return lab.run([belay.BELAY, verb, "--socket", lab.dir / f"{node}.sock", *args], timeout=60)


def edges_of(phone):
    """Where its registered flows lead, by the events so far."""
    up = {}
    for e in phone.events():
        if e["event"] == "flow_up":
            up[e["reg_id"]] = e["text"]
    return {at.rsplit(":", 1)[0] for at in up.values()}


def test_edges_are_emptied_and_restarted_under_a_call(lab, transport):
    """One after another; over UDP only one, for there an edge waits the time of a transaction before it counts a
    phone as gone."""
    lab.users("joe", "bob")
    lab.members = {"e1": 1, "e2": 2, "e3": 3}
    lab.transport = transport
    lab.home(lab.members, transport, extra=", min_expires: 4s")
    for name in lab.members:
        lab.edge(name, lab.members, transport, more=f"admin: {{socket: {name}.sock}}\n")
    bob = lab.phone("bob", "--expires=6", host=101, verb="answer")
    bob.wait("registered", 2)
    joe = lab.phone("joe", "--expires=6", "--hangup=0", host=102, verb=["call", f"sip:bob@{belay.DOMAIN}"])
    joe.wait("registered", 2)
    bob.wait("acked")
    for name, host in list(lab.members.items())[:1 if transport == "udp" else None]:
        at = lab.ip(host)
        rc, text = admin(lab, "drain", name, "--deadline", "60")
        assert rc == 0 and "drained: stop it now" in text, text
        for phone in (joe, bob):
            assert at not in edges_of(phone)
        asked = len(bob.events("request"))
        joe.say("info")
        bob.wait("request", asked + 1)
        lab.nodes[name].end()
        lab.restart(name)
        lost = [e for p in (joe, bob) for e in p.events("register_failed")]
        assert not lost, lost
    joe.say("bye")
    bob.wait("request", method="BYE")


def test_a_home_says_that_it_needs_none(lab):
    lab.users("joe")
    lab.home({"e1": 1}, more="admin: {socket: h1.sock}\n")
    rc, text = admin(lab, "drain", "h1")
    assert rc == 1 and "no edge" in text


def test_it_is_taken_back(lab):
    lab.users("joe")
    lab.members = {"e1": 1}
    lab.edge("e1", lab.members, more="admin: {socket: e1.sock}\n")
    assert admin(lab, "drain", "e1", "--no-wait")[0] == 0
    s = lab.socket()
    ask = belay.options(s, f"sip:{belay.CLUSTER}", branch="1")
    s.sendto(ask, (lab.ip(1), 5060))
    assert belay.status(s.recv(65535)) == 503
    assert admin(lab, "drain", "e1", "--cancel")[0] == 0
    s.sendto(belay.options(s, f"sip:{belay.CLUSTER}", branch="2"), (lab.ip(1), 5060))
    assert belay.status(s.recv(65535)) == 200
