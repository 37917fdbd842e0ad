"""Two domains that know each other by nothing but their certificates (RFC 5922): their homes are each other's border,
and one connection carries what both have to say, in both directions."""
import subprocess
import time

import pytest

import kamailio
from belay import BELAY, CLUSTER, DEADLINE, DOMAIN, password

HOME = """\
node: {node}
listen: [udp {ip}:5060, tls {ip}:5061]
home: {{domain: {domain}, policy: accept, users_file: users, key_file: {node}.key, calls_in: {calls_in}}}
tls: {{cert: {cert}.pem, key: {cert}.key, ca: tls/ca.pem}}
admin: {{socket: {node}.sock}}
map: {{{map}}}
dns: {{use: no}}
workers: {workers}
"""
HOSTS = {"a.com": 1, "b.com": 2}


def home(lab, node, domain, cert=None, calls_in="any", knows=("a.com", "b.com")):
    for user in ("joe@a.com", "bob@b.com"):
        subprocess.run([BELAY, "user", "add", lab.dir / "users", user], check=True, capture_output=True, text=True,
                       input=password(user.partition("@")[0]) + "\n")
    where = ", ".join(f"{d}: tls {lab.ip(HOSTS[d])}:5061" for d in knows)
    if not (lab.dir / f"{node}.key").exists():
        subprocess.run([BELAY, "key", lab.dir / f"{node}.key"], check=True, capture_output=True)
    return lab.belayd(node, HOME.format(node=node, ip=lab.ip(HOSTS[domain]), domain=domain, calls_in=calls_in, map=where,
                                        cert=cert or f"tls/{domain}", workers=lab.workers))


def two(lab, **b):
    lab.run([BELAY, "cert", "--dir", "tls", *HOSTS])
    home(lab, "a1", "a.com")
    home(lab, "b1", "b.com", **b)
    return phone(lab, "joe", "a.com", 201), phone(lab, "bob", "b.com", 202)


def phone(lab, name, domain, host, *args):
    p = lab.phone(name, f"--aor=sip:{name}@{domain}", *args, host=host,
                  maps=[f"--map={domain}=udp:{lab.ip(HOSTS[domain])}:5060"])
    p.wait("registered")
    return p


def connections(lab):
    """TLS connections between the two homes that are up, each once, as the kernel has them."""
    def hexed(host):
        return "".join(f"{int(n):02X}" for n in reversed(lab.ip(host).split(".")))
    a, b = hexed(1), hexed(2)
    found, end = set(), time.monotonic() + DEADLINE
    while not found and time.monotonic() < end:  # the list moves while it is read: one may be missed, or come twice
        with open("/proc/net/tcp", encoding="ascii") as f:
            for line in list(f)[1:]:
                _, local, remote, state, *_ = line.split()
                ends = (local.split(":")[0], remote.split(":")[0])
                if state == "01" and ends in ((a, b), (b, a)) and remote.endswith(":13C5"):  # 5061: the opener's end
                    found.add((local, remote))
    return found


def metric(lab, node, name):
    rc, text = lab.run([BELAY, "metrics", "--socket", f"{node}.sock"])
    assert rc == 0, text
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))


def talk(*pairs):
    """Each (phone, callee) calls; when all are up, each hangs up."""
    before = [len(p.events("answered", method="INVITE")) for p, _ in pairs]
    for p, callee in pairs:
        p.say(f"call {callee}")
    mine = {}
    for (p, _), n in zip(pairs, before):
        mine[p] = max(mine.get(p, 0), n)
    for p, n in mine.items():
        calls = sum(q is p for q, _ in pairs)
        p.wait("answered", n + calls, method="INVITE", status=200, timeout=60)
        for e in p.events("answered", method="INVITE", status=200)[n:]:
            p.say(f"bye {e['call']}")
    for p, n in mine.items():
        p.wait("answered", n + sum(q is p for q, _ in pairs), method="BYE", status=200, timeout=60)


@pytest.mark.one_worker("with more there is at most one connection for each: test_at_most_one_for_each_worker")
def test_a_thousand_calls_take_one_connection(lab):
    joe, bob = two(lab)
    talk((joe, "sip:bob@b.com"))  # opens it
    for _ in range(20):
        talk(*[(joe, "sip:bob@b.com"), (bob, "sip:joe@a.com")] * 25)
        assert len(connections(lab)) == 1
    assert len(joe.events("answered", method="BYE", status=200)) == 501
    assert len(bob.events("answered", method="BYE", status=200)) == 500
    full = [metric(lab, n, "belay_io_tls_handshakes_total") for n in ("a1", "b1")]
    assert full == [1, 1]  # ever, not only now


def test_at_most_one_for_each_worker(lab):
    joe, bob = two(lab)
    talk(*[(joe, "sip:bob@b.com")] * 30)
    talk(*[(bob, "sip:joe@a.com")] * 30)
    assert 1 <= len(connections(lab)) <= lab.workers


def test_b_cannot_open_to_a(lab):
    """What b.com has to say goes by the connection that a.com opened: in the dialog, and in calls of its own."""
    joe, bob = two(lab, knows=("b.com",))
    joe.say("call sip:bob@b.com")
    call = bob.wait("acked")["call"]
    bob.say(f"reinvite {call}")
    bob.wait("answered", method="INVITE", status=200)
    bob.say(f"bye {call}")
    bob.wait("answered", method="BYE", status=200)
    talk((bob, "sip:joe@a.com"))
    assert connections(lab)
    assert metric(lab, "b1", "belay_hop_opens_total") == 0


# ---- a domain that is not belay's ----

def with_kamailio(lab):
    """b.com is Kamailio with its tls module, mutual TLS required."""
    lab.run([BELAY, "cert", "--dir", "tls", *HOSTS])
    home(lab, "a1", "a.com")
    kamailio.peer(lab, HOSTS["b.com"], "b.com", "a.com", HOSTS["a.com"])
    return phone(lab, "joe", "a.com", 201), bobs(lab)


def bobs(lab):
    """Kamailio tells no Service-Route: his phone is told that the way to a.com is by its own proxy."""
    return phone(lab, "bob", "b.com", 202, f"--map=a.com=udp:{lab.ip(HOSTS['b.com'])}:5060")


def both_sides(a, b, callee):
    """a calls; then each asks the other something in the dialog; b hangs up."""
    acks, calls = len(b.events("acked")), len(a.events("established"))
    a.say(f"call {callee}")
    call, mine = b.wait("acked", acks + 1)["call"], a.wait("established", calls + 1)["call"]
    for p, q, n in ((a, b, mine), (b, a, call)):
        answers, acks = len(p.events("answered", method="INVITE")), len(q.events("acked"))
        p.say(f"reinvite {n}")
        assert p.wait("answered", answers + 1, method="INVITE")["status"] == 200
        q.wait("acked", acks + 1)
    byes = len(b.events("answered", method="BYE"))
    b.say(f"bye {call}")
    assert b.wait("answered", byes + 1, method="BYE")["status"] == 200


@pytest.mark.one_worker("with more there may be one connection for each")
@pytest.mark.parametrize("first", ["belay", "kamailio"])
def test_kamailio_shares_one_connection(lab, first):
    """Whoever opens it: calls of both domains, in both directions, take the same connection (RFC 5923)."""
    joe, bob = with_kamailio(lab)
    if first == "belay":
        both_sides(joe, bob, "sip:bob@b.com")
    both_sides(bob, joe, "sip:joe@a.com")
    both_sides(joe, bob, "sip:bob@b.com")
    both_sides(bob, joe, "sip:joe@a.com")
    assert len(connections(lab)) == 1
    assert metric(lab, "a1", "belay_hop_opens_total") == (1 if first == "belay" else 0)


@pytest.mark.one_worker("the certificate is the same for each")
def test_kamailio_of_another_name_is_nobody(lab):
    """The same Kamailio, with a certificate for evil.com: its users are strangers, and nobody is called there."""
    lab.run([BELAY, "cert", "--dir", "tls", *HOSTS, "evil.com"])
    for end in ("pem", "key"):
        (lab.dir / f"tls/b.com.{end}").write_bytes((lab.dir / f"tls/evil.com.{end}").read_bytes())
    a = home(lab, "a1", "a.com")
    kamailio.peer(lab, HOSTS["b.com"], "b.com", "a.com", HOSTS["a.com"])
    joe, bob = phone(lab, "joe", "a.com", 201), bobs(lab)
    bob.say("call sip:joe@a.com")
    assert bob.wait("answered", method="INVITE")["status"] == 407
    joe.say("call sip:bob@b.com")
    a.expect('event=tls_refused .*wanted=b.com offered="sip:evil.com evil.com.*reason=wrong_name')
    assert not joe.events("invited") and not bob.events("invited")


# ---- a further proxy between edges and home (requirement 4) ----

EDGE = """\
node: e{i}
listen: [udp {ip}:5060, tls {ip}:5061]
edge: {{cluster: {cluster}, key_file: cluster.key, members: {{e1: {e1}, e2: {e2}}}, home: {domain}, plain: {domain},
       next: {{{domain}: "sip:border.example.net;lr"}}}}
tls: {{cert: tls/{cluster}.pem, key: tls/{cluster}.key, ca: tls/ca.pem}}
map: {{border.example.net: tls {border}:5061}}
dns: {{use: no}}
workers: {workers}
"""
BEHIND = """\
node: h1
listen: tls {ip}:5061
home: {{domain: {domain}, edge: {cluster}, key_file: home.key, users_file: users, via: border.example.net}}
tls: {{cert: tls/{domain}.pem, key: tls/{domain}.key, ca: tls/ca.pem}}
map: {{{cluster}: [tls {e1}:5061, tls {e2}:5061]}}
dns: {{use: no}}
workers: {workers}
"""


@pytest.mark.parametrize("path", [True, False], ids=["path", "no-path"])
def test_kamailio_between_edges_and_home(lab, path):
    """Everybody knows his neighbour by its certificate: edges and home know border.example.net, nobody else."""
    lab.users("joe", "bob")
    lab.run([BELAY, "cert", "--dir", "tls", CLUSTER, DOMAIN, "border.example.net"])
    lab.members, lab.transport = {"e1": 1, "e2": 2}, "udp"
    kamailio.border(lab, 150, "border.example.net", path, 1, 100)
    with_ = dict(cluster=CLUSTER, domain=DOMAIN, e1=lab.ip(1), e2=lab.ip(2), border=lab.ip(150), workers=lab.workers)
    lab.belayd("h1", BEHIND.format(ip=lab.ip(100), **with_))
    for i in (1, 2):
        lab.belayd(f"e{i}", EDGE.format(i=i, ip=lab.ip(i), **with_))
    joe, bob = (lab.phone(n, f"--outbound-proxy=sip:{CLUSTER};lr", host=h) for n, h in (("joe", 201), ("bob", 202)))
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    both_sides(joe, bob, f"sip:bob@{DOMAIN}")
    both_sides(bob, joe, f"sip:joe@{DOMAIN}")


# ---- certificates that will not do ----

@pytest.mark.parametrize("shown, reason", [
    ("wrong", "wrong_name"), ("wildcard", "wildcard"), ("self", "self-signed"), ("expired", "expired"),
    ("unknown", "the issuer is unknown")])
@pytest.mark.one_worker("the certificate is the same for each")
def test_certificates_that_will_not_do(lab, shown, reason):
    """b.com shows something else: nothing is sent, the call fails, and the log names what was wanted and offered."""
    lab.run([BELAY, "cert", "--dir", "tls", *HOSTS, "evil.com"])
    bad(lab, shown)
    a = home(lab, "a1", "a.com")
    home(lab, "b1", "b.com", cert="bad/b")
    joe, bob = phone(lab, "joe", "a.com", 201), phone(lab, "bob", "b.com", 202)
    joe.say("call sip:bob@b.com")
    offered = {"wrong": "evil.com", "wildcard": r"\*.com"}.get(shown, "b.com")
    a.expect(f"event=tls_refused .*wanted=b.com offered=\"?(sip:{offered}|{offered}).* reason=\"?{reason}")
    assert not bob.events("invited")
    assert metric(lab, "a1", "belay_flow_tls_refused_total") >= 1


def openssl(lab, *args):
    rc, text = lab.run(["openssl", *args])
    assert rc == 0, text


def bad(lab, kind):
    """bad/b.pem and bad/b.key."""
    (lab.dir / "bad").mkdir()
    at = lab.dir / "bad"
    names = {"wrong": "URI:sip:evil.com,DNS:evil.com", "wildcard": "DNS:*.com"}.get(kind, "URI:sip:b.com,DNS:b.com")
    openssl(lab, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at / "b.key",
            "-subj", "/CN=b.com", "-out", at / "b.csr")
    (at / "ext").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    ca = lab.dir / "tls"
    if kind == "unknown":
        lab.run([BELAY, "cert", "--dir", "other", "x.com"])
        ca = lab.dir / "other"
    sign = ["-signkey", at / "b.key"] if kind == "self" else ["-CA", ca / "ca.pem", "-CAkey", ca / "ca.key",
                                                              "-CAcreateserial"]
    days = ["-days", "-1" if kind == "expired" else "30"]
    openssl(lab, "x509", "-req", "-in", at / "b.csr", *sign, *days, "-extfile", at / "ext", "-out", at / "b.pem")
