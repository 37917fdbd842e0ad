"""What a running node says of itself: belay status, flows, bindings; the counters over HTTP."""
import json
import socket
import urllib.request

import belay


def ask(lab, verb, sock, *args):
    rc, text = lab.run([belay.BELAY, verb, "--socket", sock, *args])
    assert rc == 0, text
    return [json.loads(line) for line in text.splitlines()]


def test_a_node_shows_flows_and_what_sticks_to_them(lab, workers):
    sock, http = str(lab.dir / "e1.sock"), f"{lab.ip(99)}:9464"
    lab.cluster(edges=1, more=f"admin: {{socket: e1.sock, http: {http}}}\n")
    phone = lab.phone("joe", host=101)
    phone.wait("registered")

    (status,) = ask(lab, "status", sock)
    assert (status["node"], status["role"], status["workers"]) == ("e1", "edge", workers)
    flows = ask(lab, "flows", sock)
    ua = [f for f in flows if f["remote"].startswith(lab.ip(101) + ":")]
    assert len(ua) == 1 and ua[0]["opened_by"] == "them" and ua[0]["bound"] > 0
    assert any("example.com:" in f["linked"] and f["opened_by"] == "us" for f in flows)
    path = [b for b in ask(lab, "bindings", sock) if b["kind"] == "path"]
    assert [b["flow"] for b in path] == [ua[0]["flow"]]
    assert path[0]["uri"].startswith("sip:joe+") and 0 < path[0]["expires_s"] <= 700
    assert len(ask(lab, "flows", sock, "--limit", "1")) == 1

    with urllib.request.urlopen(f"http://{http}/metrics", timeout=belay.DEADLINE) as r:
        assert "\nbelay_edge_bound_total 1\n" in r.read().decode()

    lab.nodes["e1"].kill()  # a dead process's socket is taken over
    lab.restart("e1")
    (status,) = ask(lab, "status", sock)
    assert status["node"] == "e1"


def test_whom_to_ask_is_said_plainly(lab):
    rc, text = lab.run([belay.BELAY, "status", "--socket", lab.dir / "none.sock"])
    assert rc == 3 and "does the node run" in text
    rc, text = lab.run([belay.BELAY, "flows", "--limit", "x", "--socket", "/x"])
    assert rc == 2 and text.startswith("usage:")


def test_a_socket_that_cannot_be_had_is_said(lab):
    lab.users("joe")
    (lab.dir / "file").write_text("mine")
    served = socket.socket(socket.AF_UNIX)
    served.bind(str(lab.dir / "served.sock"))
    served.listen()
    lab.keep(served)
    for name, why in (("file", "no socket"), ("no/x.sock", "make the folder"), ("x" * 120, "at most 107"),
                      ("served.sock", "another program serves")):
        conf = lab.write("h1.yaml", f"""\
node: h1
listen: [udp {lab.ip(100)}:5060]
home: {{domain: {belay.DOMAIN}, policy: accept, key_file: home.key, users_file: users}}
admin: {{socket: {name}}}
""")
        rc, text = lab.run([belay.BELAYD, "-c", conf])
        assert rc == 1 and why in text, (name, text)
