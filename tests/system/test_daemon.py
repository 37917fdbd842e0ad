"""belayd as a program: what it says about its configuration, signals, and hostile octets."""
import os
import re
import signal
import socket

import pytest

from belay import BELAYD, CLUSTER, DOMAIN, ROOT, message, options, read_stream, status

SINGLE = """\
node: h1
listen: [udp {ip}:5060, tcp {ip}:5060]
home: {{domain: example.com, policy: accept, key_file: home.key, users_file: users}}
workers: {workers}
"""


def single(lab, **kw):
    lab.users("joe")
    return lab.belayd("h1", SINGLE.format(ip=lab.ip(1), workers=lab.workers), **kw)


def refused(lab, text, *words, check=True):
    """belayd refuses this text, with status 1 and these words in one line that begins with the file's name."""
    path = lab.write("bad.yaml", text)
    rc, said = lab.run([BELAYD, *(["--check"] if check else []), "-c", path])
    assert rc == 1, said
    lines = [line for line in said.splitlines() if line.startswith(str(path))]
    assert any(all(w in line for w in words) for line in lines), f"{words} not in:\n{said}"
    return said


# ---- configuration ----

@pytest.mark.one_worker("it ends before a worker begins")
@pytest.mark.parametrize("old,new,words", [
    ("policy: accept", "polcy: accept", [":3:29: home.polcy: ", "did you mean policy"]),
    ("policy: accept", "policy: acept", [":3:37: home.policy: "]),
    ("node: h1", "nod: h1", [":1:1: nod: "]),
    ("udp 127", "ucp 127", [":2:10: listen"]),
    ("5060]", "506000]", ["listen"]),
    ("workers: 1", "workers: many", [":4:10: workers: "]),
    ("workers: 1", "workers: 1000", [":4:10: workers: "]),
    ("}", "", [":4:"]),
    ("workers: 1", "workers: 1\nworkers: 2", [":5:1: workers: "]),
    ("node: h1\n", "", ["node"]),
    ("domain: example.com, ", "", ["domain"]),
], ids=lambda v: re.sub(r"\W+", "-", v)[:20] if isinstance(v, str) else None)
def test_a_typo_is_named_by_file_line_column_and_key(lab, old, new, words):
    lab.users("joe")
    text = SINGLE.format(ip=lab.ip(1), workers=1)
    assert old in text
    refused(lab, text.replace(old, new, 1), *words)


@pytest.mark.one_worker("it ends before a worker begins")
def test_all_typos_at_once(lab):
    lab.users("joe")
    text = SINGLE.format(ip=lab.ip(1), workers="x").replace("policy", "plicy")
    said = refused(lab, text, "home.plicy")
    assert ":4:10: workers: " in said


@pytest.mark.one_worker("it ends before a worker begins")
def test_check_of_a_good_file(lab):
    lab.users("joe")
    path = lab.write("good.yaml", SINGLE.format(ip=lab.ip(1), workers=1))
    rc, said = lab.run([BELAYD, "--check", "-c", path])
    assert rc == 0 and "good" in said


@pytest.mark.one_worker("it ends before a worker begins")
def test_what_the_manual_shows_can_be_written(lab):
    """Each example of the manual, in the table that it is shown for, is of the kind that the option takes."""
    rc, said = lab.run([BELAYD, "--print-manual"])
    shown = re.findall(r"^### `(?:(\w+)\.)?\w+`$(?:\n(?!#).*)*?\n```yaml\n(.+)\n```$", said, re.M)
    assert rc == 0 and len(shown) > 12
    for table, example in shown:
        path = lab.write("shown.yaml", f"{table}: {{{example}}}\n" if table else example + "\n")
        rc, said = lab.run([BELAYD, "--check", "-c", path])
        errors = [line for line in said.splitlines() if ": is missing: " not in line]
        assert rc == 1 and "is missing" in said and not errors, f"{example}: {said}"


@pytest.mark.one_worker("it ends before a worker begins")
def test_missing_files_are_said_plainly(lab):
    lab.users("joe")
    text = SINGLE.format(ip=lab.ip(1), workers=1)
    refused(lab, text.replace("home.key", "hom.key"), "hom.key", "no such file", "belay key")
    refused(lab, text.replace("file: users", "file: user"), "user", "no such file", "belay user add")
    rc, said = lab.run([BELAYD, "-c", lab.dir / "nowhere.yaml"])
    assert rc == 1 and "nowhere.yaml" in said and "no such file" in said


@pytest.mark.one_worker("it ends before a worker begins")
def test_unreadable_and_empty_keys(lab):
    lab.users("joe")
    text = SINGLE.format(ip=lab.ip(1), workers=1)
    (lab.dir / "folder.key").mkdir()
    refused(lab, text.replace("home.key", "folder.key"), "folder.key")
    lab.write("empty.key", "# nothing\n")
    refused(lab, text.replace("home.key", "empty.key"), "empty.key")
    lab.write("bad.key", "one two three four\n")
    refused(lab, text.replace("home.key", "bad.key"), "bad.key")


@pytest.mark.one_worker("it ends before a worker begins")
def test_a_key_that_may_not_be_read(lab):
    """As a user without rights to the file."""
    lab.users("joe")
    text = SINGLE.format(ip=lab.ip(1), workers=1)
    path = lab.write("x.yaml", text)
    os.chmod(lab.dir / "home.key", 0)
    folder = lab.dir
    while folder != folder.parent:  # pytest's folders are its user's alone
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            os.chmod(folder, folder.stat().st_mode | 0o011)
        folder = folder.parent
    os.chmod(path, 0o644)
    rc, said = lab.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BELAYD, "--check", "-c", path]
                       if os.geteuid() == 0 else [BELAYD, "--check", "-c", path])
    assert rc == 1 and "home.key" in said and "may not be read" in said


def test_a_taken_port(lab):
    single(lab)
    path = lab.write("again.yaml", SINGLE.format(ip=lab.ip(1), workers=1))
    rc, said = lab.run([BELAYD, "-c", path])
    assert rc == 1
    assert f"cannot listen on udp {lab.ip(1)}:5060: the port is taken" in said


@pytest.mark.one_worker("it ends before a worker begins")
def test_an_address_that_is_not_ours(lab):
    path = lab.write("x.yaml", SINGLE.format(ip="192.0.2.1", workers=1))
    lab.users("joe")
    rc, said = lab.run([BELAYD, "-c", path])
    assert rc == 1 and "192.0.2.1:5060" in said and "no such address" in said


@pytest.mark.one_worker("it ends before a worker begins")
def test_usage(lab):
    rc, said = lab.run([BELAYD, "--nonsense"])
    assert rc == 2 and "usage" in said.lower()
    rc, said = lab.run([BELAYD, "--help"])
    assert rc == 0 and "--check" in said
    rc, said = lab.run([BELAYD, "--version"])
    assert rc == 0 and said


@pytest.mark.one_worker("it ends before a worker begins")
def test_the_manual_is_the_printed_one(lab):
    rc, said = lab.run([BELAYD, "--print-manual"])
    assert rc == 0
    assert said.strip() == (ROOT / "docs/configuration.md").read_text().strip()


# ---- signals ----

def test_sigterm_ends_it_with_0(lab):
    node = single(lab)
    node.signal(signal.SIGTERM)
    assert node.finish() == 0
    node.expect("event=stopping")


def test_sighup_applies_what_is_live(lab):
    node = single(lab)
    text = SINGLE.format(ip=lab.ip(1), workers=lab.workers)
    path = lab.write("h1.yaml", text + "log: {level: debug}\ntimers: {t1: 400ms}\n")
    node.signal(signal.SIGHUP)
    node.expect("event=reloaded")
    node.expect("event=option_applied.*key=log.level")
    node.expect("event=option_needs_restart.*key=timers.t1.*goes on with the old value until it is restarted")
    sock = lab.socket()
    sock.sendto(options(sock, f"sip:{lab.ip(1)}"), (lab.ip(1), 5060))
    assert status(sock.recv(65536)) == 200
    node.expect("level=debug")
    seen = node.mark()
    node.signal(signal.SIGHUP)  # as long as the file says other than what runs, each reload says so
    node.expect("event=option_needs_restart.*key=timers.t1", since=seen)
    path.write_text(text + "nonsense: 1\n")
    node.signal(signal.SIGHUP)
    node.expect(r"event=reload_refused.*h1.yaml:5:1: nonsense")
    sock.sendto(options(sock, f"sip:{lab.ip(1)}", branch="2"), (lab.ip(1), 5060))
    assert status(sock.recv(65536)) == 200


def test_keys_rotate_without_a_restart(lab):
    """The new first key signs, all verify: a call set up before goes on, as does a challenge given before."""
    lab.cluster(users=("joe", "bob", "sue", "tom"))
    joe, bob = lab.phone("joe", host=201), lab.phone("bob", host=202)
    assert "+Z" not in joe.wait("registered", reg_id=2)["edge"]
    bob.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    secret = "00112233445566778899aabbccddeeff"
    for kind in ("cluster", "home"):
        old = (lab.dir / f"{kind}.key").read_text()
        lab.write(f"{kind}.key", f"Z {secret}\n{old}")
    for node in lab.nodes.values():
        node.signal(signal.SIGHUP)
        node.expect(r"event=keys_reloaded.*\.key keys=2 signs=Z")
    for caller, callee in ((joe, bob), (bob, joe)):
        caller.say("info")
        callee.wait("request", method="INFO")
        assert caller.wait("answered", method="INFO")["status"] == 200
    assert "+Z" in lab.phone("sue", host=203).wait("registered", reg_id=2)["edge"]
    joe.say("bye")
    bob.wait("request", method="BYE")

    # One that is wrong changes nothing, and says what, where, and what to do.
    lab.write("cluster.key", "Z too-short\n")
    for name in lab.members:
        lab.nodes[name].signal(signal.SIGHUP)
        lab.nodes[name].expect(r"event=reload_refused.*cluster.key \(edge.key_file\): line 1: .*kept=.*keys that were "
                               r"read before.*hint=.*send SIGHUP again")
    assert "+Z" in lab.phone("tom", host=204).wait("registered", reg_id=2)["edge"]


def test_trust_and_map_change_without_a_restart(lab, transport):
    """A third edge comes: the home takes it for one when told so by its file, and sends phones there."""
    lab.cluster(edges=2, transport=transport)
    joe, bob = lab.phone("joe", host=201), lab.phone("bob", host=202)
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    lab.members["e3"] = 3
    lab.edge("e3", lab.members, transport)
    home = lab.nodes["h1"]
    sue = [f"--outbound-proxy=sip:{lab.ip(3)};transport={transport};lr"]
    lab.users("sue")
    home.signal(signal.SIGHUP)
    home.expect("event=users_reloaded")
    early = lab.phone("sue", *sue, host=203, maps=[])
    assert CLUSTER in early.wait("redirected")["text"]  # what came by e3 came by no edge that the home knows
    early.kill()

    file = lab.dir / "h1.yaml"
    text = file.read_text()
    text = text.replace(f"[{lab.ip(1)}, {lab.ip(2)}]", f"[{lab.ip(1)}, {lab.ip(2)}, {lab.ip(3)}]")
    file.write_text(text.replace(f"{transport} {lab.ip(2)}:5060]",
                                 f"{transport} {lab.ip(2)}:5060, {transport} {lab.ip(3)}:5060]"))
    seen = home.mark()
    home.signal(signal.SIGHUP)
    for key in ("trust", "map"):
        home.expect(f"event=option_applied.*key={key}$", since=seen)
    known = lab.phone("sue", *sue, host=203, maps=[])
    known.wait("registered")
    assert not known.events("redirected")
    joe.say("bye")  # the flows of the others went on
    bob.wait("request", method="BYE")
    assert joe.wait("answered", method="BYE")["status"] == 200

    file.write_text(text.replace(f"{lab.ip(1)}, {lab.ip(2)}, {lab.ip(3)}]", f"{lab.ip(1)}, {lab.ip(2)}]"))
    home.signal(signal.SIGHUP)
    home.expect(f"event=flow_down.*remote={lab.ip(3)}:.*reason=refused", since=seen)
    assert CLUSTER in lab.phone("sue", *sue, host=204, maps=[]).wait("redirected")["text"]


def test_a_users_file_that_is_wrong_keeps_the_users(lab):
    node = single(lab)
    lab.write("users", "nonsense\n")
    node.signal(signal.SIGHUP)
    node.expect(r"event=reload_refused.*users \(home.users_file\): line 1: .*kept=.*users.*hint=")


def test_json_log(lab):
    import json
    lab.users("joe")
    path = lab.write("h1.yaml", SINGLE.format(ip=lab.ip(1), workers=lab.workers))
    node = lab.start([BELAYD, "-c", path, "--log", "json"])
    node.expect('"event":"ready"')
    assert all(json.loads(line)["node"] == "h1" for line in node.lines)


# ---- hostile octets ----

def alive(lab, node):
    """It still answers, on both transports."""
    assert node.running()
    sock = lab.socket()
    sock.sendto(options(sock, f"sip:{lab.ip(1)}", branch="alive"), (lab.ip(1), 5060))
    assert status(sock.recv(65536)) == 200
    stream = lab.socket(socket.SOCK_STREAM)
    stream.connect((lab.ip(1), 5060))
    stream.sendall(options(stream, f"sip:{lab.ip(1)}", "TCP", branch="alive-tcp"))
    assert status(read_stream(stream)[0]) == 200


def broken(sock, to, how, transport):
    good = options(sock, f"sip:{to}", transport, branch=f"bad-{how}").decode()
    return {
        "cseq": good.replace("CSeq: 1 OPTIONS", "CSeq: one OPTIONS"),
        "cseq-method": good.replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"),
        "from": good.replace("From: <sip:probe", "From: <<sip:probe"),
        "to-missing": re.sub("To: .*\r\n", "", good),
        "call-id-missing": re.sub("Call-ID: .*\r\n", "", good),
        "version": good.replace("SIP/2.0\r\n", "SIP/7.0\r\n", 1),
        "max-forwards-0": good.replace("Max-Forwards: 70", "Max-Forwards: 0"),
        "max-forwards-word": good.replace("Max-Forwards: 70", "Max-Forwards: seventy"),
        "scheme": good.replace(f"OPTIONS sip:{to}", "OPTIONS nobody:knows"),
        "require": good.replace("Max-Forwards", "Require: telepathy\r\nMax-Forwards"),
        "proxy-require": good.replace("Max-Forwards", "Proxy-Require: telepathy\r\nMax-Forwards"),
    }[how].encode()


REFUSED = [("cseq", 400), ("cseq-method", 400), ("from", 400), ("to-missing", 400), ("call-id-missing", 400),
           ("version", 505), ("max-forwards-0", 200), ("max-forwards-word", 400), ("scheme", 416), ("require", 420),
           ("proxy-require", 420)]


@pytest.mark.parametrize("how,code", REFUSED, ids=[h for h, _ in REFUSED])
def test_malformed_gets_its_status(lab, how, code):
    node = single(lab)
    to = lab.ip(1)
    sock = lab.socket()
    sock.sendto(broken(sock, to, how, "UDP"), (to, 5060))
    assert status(sock.recv(65536)) == code
    stream = lab.socket(socket.SOCK_STREAM)
    stream.connect((to, 5060))
    stream.sendall(broken(stream, to, how, "TCP"))
    assert status(read_stream(stream)[0]) == code
    alive(lab, node)


@pytest.mark.parametrize("octets", [b"\x00" * 200, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff\xfe" * 500, b"SIP",
                                    b"OPTIONS", b"INVITE sip:x SIP/2.0\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n",
                                    b"\r\n" * 50, b"A" * 60000], ids=range(9))
def test_what_is_no_sip_harms_nothing(lab, octets):
    node = single(lab)
    sock = lab.socket()
    sock.sendto(octets, (lab.ip(1), 5060))
    stream = lab.socket(socket.SOCK_STREAM)
    stream.connect((lab.ip(1), 5060))
    stream.sendall(octets)
    stream.shutdown(socket.SHUT_WR)
    while True:  # it closes the connection, perhaps after an answer
        try:
            if not stream.recv(65536):
                break
        except ConnectionError:
            break
    alive(lab, node)


LONG = b"".join(b"X-Long: " + b"x" * 4000 + b"\r\n" for _ in range(30))


@pytest.mark.parametrize("how,answers", [("no-number", [400]), ("no-length", [400]), ("two-lengths", [400]),
                                         ("beyond-any-number", [400]), ("beyond-the-limit", [513]),
                                         ("endless-headers", [513]), ("endless-without-via", []),
                                         ("endless-line", [])])
def test_a_stream_that_cannot_be_followed_is_closed(lab, how, answers):
    """Where the next message begins cannot be known: one answer if there is a Via to answer to, then the end, though we
    keep our side open and go on sending."""
    node = single(lab)
    stream = lab.socket(socket.SOCK_STREAM)
    stream.connect((lab.ip(1), 5060))
    good = options(stream, f"sip:{lab.ip(1)}", "TCP")
    stream.sendall({
        "no-number": good.replace(b"Content-Length: 0", b"Content-Length: x"),
        "no-length": good.replace(b"Content-Length: 0\r\n", b""),
        "two-lengths": good.replace(b"Content-Length: 0", b"Content-Length: 0\r\nl: 1"),
        "beyond-any-number": good.replace(b"Content-Length: 0", b"Content-Length: 99999999999999999999"),
        "beyond-the-limit": good.replace(b"Content-Length: 0", b"Content-Length: 70000"),
        "endless-headers": good[:-2] + LONG,
        "endless-without-via": b"OPTIONS sip:x SIP/2.0\r\n" + LONG,
        "endless-line": b"OPTIONS sip:" + b"x" * 120000,
    }[how])
    assert [status(a) for a in read_stream(stream, 2)] == answers
    assert stream.recv(1) == b""
    alive(lab, node)


def test_pieces_and_bundles_on_a_stream(lab):
    """Octet by octet, and many messages at once: framing does not care."""
    single(lab)
    to = lab.ip(1)
    stream = lab.socket(socket.SOCK_STREAM)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.connect((to, 5060))
    for octet in options(stream, f"sip:{to}", "TCP", branch="one"):
        stream.sendall(bytes([octet]))
    assert status(read_stream(stream)[0]) == 200
    stream.sendall(b"".join(options(stream, f"sip:{to}", "TCP", branch=f"b{i}") for i in range(20)))
    answers = read_stream(stream, 20)
    assert len(answers) == 20 and all(status(a) == 200 for a in answers)


def test_keep_alives_are_answered(lab):
    """RFC 5626: a pong to a double CRLF on a stream, a binding response to STUN on the SIP port."""
    single(lab)
    stream = lab.socket(socket.SOCK_STREAM)
    stream.connect((lab.ip(1), 5060))
    stream.sendall(b"\r\n\r\n")
    assert stream.recv(100) == b"\r\n"
    sock = lab.socket()
    request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"transactions"
    sock.sendto(request, (lab.ip(1), 5060))
    answer = sock.recv(1000)
    assert answer[:2] == b"\x01\x01" and answer[4:20] == request[4:20]
    host, port = sock.getsockname()
    at = answer.index(b"\x00\x20\x00\x08\x00\x01") + 6
    assert int.from_bytes(answer[at:at + 2], "big") ^ 0x2112 == port
    assert socket.inet_ntoa(bytes(a ^ b for a, b in zip(answer[at + 2:at + 6], b"\x21\x12\xa4\x42"))) == host


def test_a_digest_that_is_wrong_and_one_that_is_garbage(lab):
    node = single(lab)
    to = lab.ip(1)
    sock = lab.socket()
    digest = 'Digest username="joe", realm="example.com", uri="sip:example.com", nonce="x", response="%s"' % ("0" * 32)

    def register(branch, authorization):
        host, port = sock.getsockname()
        return message(f"REGISTER sip:{DOMAIN} SIP/2.0",
                       Via=f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch}", Max_Forwards="70",
                       From=f"<sip:joe@{DOMAIN}>;tag=1", To=f"<sip:joe@{DOMAIN}>", Call_ID=branch, CSeq="1 REGISTER",
                       Contact=f"<sip:joe@{host}:{port}>", Authorization=authorization)
    for i, (auth, code) in enumerate([(None, 401), (digest + ', qop=auth, nc=00000001, cnonce="y"', 401),
                                      (digest + ', qop="', 401), ("Digest ,,,=", 401), ("Basic am9lOmpvZQ==", 401)]):
        sock.sendto(register(f"auth{i}", auth), (to, 5060))
        assert status(sock.recv(65536)) == code, auth
    alive(lab, node)
