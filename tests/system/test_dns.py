"""RFC 3263 against a real name server, NSD, whose zone changes during the test.

An edge asks where its home is; what stands there are ears of the test, which answer every request with 404 and remember
how it came.
"""
import socket
import threading
import time

import pytest

from belay import CLUSTER, DEADLINE, DOMAIN, message, read_stream, status
from nameserver import NameServer

EDGE = """\
node: e1
listen: [udp {ip}:5060, tcp {ip}:5060{six}]
edge: {{cluster: edge.example.com, key_file: cluster.key, members: {{e1: {ip}}}, home: example.com}}
dns: {{servers: [{dns}], timeout: 500ms}}
timers: {{failed_target: {failed}}}
workers: {workers}
log: {{level: debug}}
"""


def headers(data, *names):
    lines = data.decode().split("\r\n")
    return "".join(f"{line}\r\n" for line in lines if line.split(":")[0] in names)


class Ear:
    """A server that answers with a status and remembers what it heard: {Call-ID: transport}."""

    def __init__(self, lab, host, port=5060, code=404, transports=("udp", "tcp"), six=None):
        self.ip, self.code, self.heard = six or lab.ip(host), code, {}
        self._open, self._lock = [], threading.Lock()
        for t in transports:
            kind = socket.SOCK_DGRAM if t == "udp" else socket.SOCK_STREAM
            if six:
                s = lab.keep(lab.space.socket(kind, socket.AF_INET6))
                s.bind((six, port))
            else:
                s = lab.socket(kind, host, port, again=True)
            s.settimeout(None)
            if t == "tcp":
                s.listen()
            self._hold(s, self._datagrams if t == "udp" else self._accept)

    def _hold(self, s, run):
        with self._lock:
            self._open.append(s)
        threading.Thread(target=run, args=(s,), daemon=True).start()

    def _datagrams(self, s):
        while True:
            try:
                data, peer = s.recvfrom(65536)
                if (answer := self._answer(data, "udp")):
                    s.sendto(answer, peer)
            except OSError:
                return

    def _accept(self, s):
        while True:
            try:
                self._hold(s.accept()[0], self._stream)
            except OSError:
                return

    def _stream(self, s):
        try:
            while (got := read_stream(s)):
                for data in got:
                    if (answer := self._answer(data, "tcp")):
                        s.sendall(answer)
        except OSError:
            pass

    def _answer(self, data, transport):
        if not data[:1].isalpha() or data.startswith((b"SIP/2.0", b"ACK")):
            return None
        self.heard[headers(data, "Call-ID").split()[1]] = transport
        if not self.code:
            return None
        return (f"SIP/2.0 {self.code} Ear\r\n" + headers(data, "Via", "From", "To", "Call-ID", "CSeq")
                + "Content-Length: 0\r\n\r\n").encode()

    def die(self):
        """Nobody listens there any more, and what was open is closed."""
        with self._lock:
            for s in self._open:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()


class Asker:
    """A phone on UDP whose every REGISTER the edge has to send to its home."""

    def __init__(self, lab, ears):
        self.lab, self.ears, self.n = lab, ears, 0
        self.sock = lab.socket()

    def ask(self):
        """(status, the ear that heard it, by which transport)"""
        self.n += 1
        call = f"call-{self.n}"
        host, port = self.sock.getsockname()
        data = message(f"REGISTER sip:{DOMAIN} SIP/2.0", Via=f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK{call};rport",
                       Max_Forwards="70", From=f"<sip:joe@{DOMAIN}>;tag=1", To=f"<sip:joe@{DOMAIN}>", Call_ID=call,
                       CSeq="1 REGISTER", Contact=f"<sip:joe@{host}:{port}>")
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            self.sock.sendto(data, (self.lab.ip(1), 5060))
            self.sock.settimeout(2)
            try:
                got = self.sock.recv(65536)
            except TimeoutError:
                continue
            if call.encode() in got and status(got) >= 200:
                where = [(e, e.heard[call]) for e in self.ears if call in e.heard]
                return (status(got), *(where[0] if where else (None, None)))
        pytest.fail(f"no answer to {call}\n{self.lab.story()}")

    def until(self, ear, transport=None, seconds=DEADLINE):
        """Asks until this ear hears it; the moments of the first question and of that one."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            _, where, by = self.ask()
            if where is ear and transport in (None, by):
                return time.monotonic() - begun
        pytest.fail(f"never came to {ear.ip} {transport or ''}\n{self.lab.story()}")


def edge(lab, dns, failed="10s", six=""):
    lab.users("joe")
    return lab.belayd("e1", EDGE.format(ip=lab.ip(1), dns=dns.address, workers=lab.workers, failed=failed, six=six))


SIX = ', "udp [fd00:7::1]:5060", "tcp [fd00:7::1]:5060"'


def both_families(lab):
    lab.isolate()
    for h in (1, 11, 12):
        lab.space.run("ip", "-6", "addr", "add", f"fd00:7::{h}/64", "dev", "lo", "nodad")


def test_a_record_holds_for_its_ttl(lab):
    """The new target is used once the old record has lived for its TTL, and not before."""
    old, new = Ear(lab, 11), Ear(lab, 12)
    dns = NameServer(lab, {DOMAIN: f"@ 4 A {old.ip}"})
    edge(lab, dns)
    joe = Asker(lab, [old, new])
    learned = time.monotonic()
    assert joe.ask() == (404, old, "udp")
    dns.change(DOMAIN, f"@ 4 A {new.ip}")
    joe.until(new)
    assert time.monotonic() - learned >= 4
    assert joe.ask()[1] is new


def test_a_no_holds_for_its_ttl(lab):
    home = Ear(lab, 11)
    dns = NameServer(lab, {DOMAIN: ""}, negative=4)
    edge(lab, dns)
    joe = Asker(lab, [home])
    learned = time.monotonic()
    assert joe.ask() == (500, None, None)
    dns.change(DOMAIN, f"@ A {home.ip}")
    joe.until(home)
    assert time.monotonic() - learned >= 4


def test_srv_by_priority_and_to_the_next_when_one_dies(lab):
    """In order of priority; the next when there is nobody; back when the memory of the failure has faded."""
    first, second, never = Ear(lab, 11, 5070), Ear(lab, 12, 5080), Ear(lab, 13)
    dns = NameServer(lab, {DOMAIN: f"""\
_sip._tcp SRV 20 0 5080 b
_sip._tcp SRV 10 0 5070 a
@ A {never.ip}
a A {first.ip}
b A {second.ip}"""})
    edge(lab, dns, failed="2s")
    joe = Asker(lab, [first, second, never])
    assert joe.ask() == (404, first, "tcp")
    first.die()
    assert joe.ask() == (404, second, "tcp")
    assert joe.ask() == (404, second, "tcp")
    again = Ear(lab, 11, 5070)
    joe.ears.append(again)
    joe.until(again, "tcp")
    assert not never.heard


def test_a_503_sends_to_the_next(lab):
    first, second = Ear(lab, 11, 5070, code=503), Ear(lab, 12, 5080)
    dns = NameServer(lab, {DOMAIN: f"_sip._udp SRV 10 0 5070 a\n_sip._udp SRV 20 0 5080 b\na A {first.ip}\nb A {second.ip}"})
    edge(lab, dns)
    joe = Asker(lab, [second, first])
    assert joe.ask() == (404, second, "udp")
    assert len(first.heard) == 1
    assert joe.ask() == (404, second, "udp")
    assert len(first.heard) == 1  # remembered for a while


def test_naptr_prefers_a_transport(lab):
    """TCP before UDP by preference; the other way round once the zone says so; the order comes before the preference;
    without NAPTR by SRV."""
    by_tcp, by_udp = Ear(lab, 11, transports=["tcp"]), Ear(lab, 12, transports=["udp"])
    services = f"""\
_sip._tcp 1 SRV 0 0 5060 a
_sip._udp 1 SRV 0 0 5060 b
a A {by_tcp.ip}
b A {by_udp.ip}
"""
    udp, tcp = '"S" "SIP+D2U" "" _sip._udp', '"S" "SIP+D2T" "" _sip._tcp'
    dns = NameServer(lab, {DOMAIN: services + f"@ 1 NAPTR 10 20 {udp}\n@ 1 NAPTR 10 10 {tcp}"}, negative=1)
    edge(lab, dns)
    joe = Asker(lab, [by_tcp, by_udp])
    assert joe.ask() == (404, by_tcp, "tcp")
    dns.change(DOMAIN, services + f"@ 1 NAPTR 10 10 {udp}\n@ 1 NAPTR 10 20 {tcp}")
    joe.until(by_udp)
    dns.change(DOMAIN, services + f"@ 1 NAPTR 10 10 {udp}\n@ 1 NAPTR 5 20 {tcp}")
    joe.until(by_tcp)
    dns.change(DOMAIN, services)
    joe.until(by_udp)


def test_more_records_than_a_datagram_holds(lab):
    """The answer is truncated and asked for again by TCP; of many records the best are kept."""
    home, never = Ear(lab, 11, 5070), Ear(lab, 12, 5080)
    rest = "\n".join(f"_sip._udp SRV 20 0 5080 a-host-with-quite-a-long-name-number-{i}" for i in range(60))
    dns = NameServer(lab, {DOMAIN: f"{rest}\n_sip._udp SRV 10 0 5070 home\nhome A {home.ip}\n* A {never.ip}"})
    edge(lab, dns)
    joe = Asker(lab, [home, never])
    assert joe.ask() == (404, home, "udp")
    assert not never.heard


def test_a_name_that_has_ipv6_only(lab):
    both_families(lab)
    home = Ear(lab, 11, six="fd00:7::11")
    dns = NameServer(lab, {DOMAIN: f"@ AAAA {home.ip}"})
    edge(lab, dns, six=SIX)
    assert Asker(lab, [home]).ask() == (404, home, "udp")


def test_a_family_that_leads_nowhere(lab):
    """RFC 7984: both are asked for and tried, here IPv4 first, since fd00::/8 is not the world's (RFC 6724)."""
    both_families(lab)
    home = Ear(lab, 11, six="fd00:7::11")
    dns = NameServer(lab, {DOMAIN: f"_sip._tcp SRV 0 0 5060 a\na A {lab.ip(11)}\na AAAA {home.ip}"})
    edge(lab, dns, six=SIX)
    assert Asker(lab, [home]).ask() == (404, home, "tcp")


def test_a_family_that_we_do_not_have(lab):
    """No listener of IPv6: that address is not even looked up, for nobody could answer us."""
    both_families(lab)
    six, four = Ear(lab, 11, six="fd00:7::11"), Ear(lab, 12)
    dns = NameServer(lab, {DOMAIN: f"@ AAAA {six.ip}\n@ A {four.ip}"})
    edge(lab, dns)
    assert Asker(lab, [six, four]).ask() == (404, four, "udp")


def test_through_cnames(lab):
    home = Ear(lab, 11)
    dns = NameServer(lab, {DOMAIN: f"_sip._udp SRV 0 0 5060 one\none CNAME two\ntwo CNAME three\nthree A {home.ip}"})
    edge(lab, dns)
    assert Asker(lab, [home]).ask() == (404, home, "udp")


def test_a_service_that_is_decidedly_not_there(lab):
    home = Ear(lab, 11)
    dns = NameServer(lab, {DOMAIN: f"_sip._udp SRV 0 0 0 .\n_sip._tcp SRV 0 0 0 .\n@ A {home.ip}"})
    edge(lab, dns)
    assert Asker(lab, [home]).ask() == (500, None, None)
    assert not home.heard


SERVICES = {"udp": ("SIP+D2U", "_sip._udp", 5060), "tcp": ("SIP+D2T", "_sip._tcp", 5060),
            "tls": ("SIPS+D2T", "_sips._tcp", 5061)}


@pytest.mark.parametrize("by", list(SERVICES))
def test_a_cluster_by_dns_alone(lab, by):
    """Nobody has a map: phones find the home, then the edges; edges find the home, the home finds the edges. By TLS the
    certificates prove the domain that was asked for, not the names that its SRV records lead to."""
    lab.users("joe", "bob")
    service, label, port = SERVICES[by]
    wishes = [f'10 10 "S" "{service}" "" {label}', *(f'20 10 "S" "{s}" "" {n}' for s, n, _ in SERVICES.values() if s != service)]
    dns = NameServer(lab, {DOMAIN: "\n".join([
        *(f"@ NAPTR {w}" for w in wishes), *(f"edge NAPTR {w}.edge" for w in wishes),
        f"{label} SRV 10 10 {port} h1", *(f"{label}.edge SRV 10 10 {port} e{i}" for i in (1, 2)),
        f"h1 A {lab.ip(100)}", f"e1 A {lab.ip(1)}", f"e2 A {lab.ip(2)}"])})

    def node(name, host, role, domain, others, of):
        listen, trust = lab._secured(by, lab.ip(host), domain)
        lab.belayd(name, f"""\
node: {name}
listen: {listen}
{role}
{trust(of, f"[{', '.join(lab.ip(h) for h in others)}]")}
dns: {{servers: [{dns.address}]}}
workers: {lab.workers}
""")
    node("h1", 100, f"home: {{domain: {DOMAIN}, edge: {CLUSTER}, key_file: home.key, users_file: users}}", DOMAIN, (1, 2),
         CLUSTER)
    for i in (1, 2):
        node(f"e{i}", i, f"edge: {{cluster: {CLUSTER}, key_file: cluster.key, members: {{e1: {lab.ip(1)}, e2: {lab.ip(2)}}}, "
             f"home: {DOMAIN}}}", CLUSTER, (100,), DOMAIN)
    ca = [f"--ca={lab.dir}/tls/ca.pem"] if by == "tls" else []
    joe, bob = (lab.phone(u, f"--dns={dns.address}", *ca, host=h, maps=[]) for u, h in (("joe", 201), ("bob", 202)))
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
        assert {r["transport"] for r in p.table() if "+e" in r["uri"]} == {by.upper()}
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    lab.nodes["e1"].kill()
    bob.say("bye")
    joe.wait("request", method="BYE")
    assert bob.wait("answered", method="BYE")["status"] == 200


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_a_phone_bound_to_one_family(lab, by):
    """Its address is an IPv4 one; the name's IPv6 address, which is the world's and so comes first, is passed over."""
    lab.isolate()
    lab.cluster(transport=by)
    service, label, port = SERVICES[by]
    dns = NameServer(lab, {DOMAIN: "\n".join([
        f"{label} SRV 10 10 {port} h1", f"h1 A {lab.ip(100)}", "h1 AAAA 2001:db8::1", f"edge NAPTR 1 1 \"S\" \"{service}\" \"\" {label}.edge",
        *(f"{label}.edge SRV 10 10 {port} e{i}\ne{i} AAAA 2001:db8::{i}\ne{i} A {lab.ip(i)}" for i in (1, 2))])})
    joe = lab.phone("joe", f"--dns={dns.address}", host=201, maps=[])
    joe.wait("registered", reg_id=2)


def test_phones_without_dns(lab, transport):
    """Requirement 6: what their static map says suffices; here nothing could ask a name server."""
    lab.isolate()
    lab.cluster(transport=transport)
    joe, bob = lab.phone("joe", host=201), lab.phone("bob", host=202)
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    lab.nodes["e1"].kill()
    bob.say("bye")
    joe.wait("request", method="BYE")
    assert bob.wait("answered", method="BYE")["status"] == 200
    lost = lab.phone("joe", "--duration=3", host=203, maps=[], interactive=False)
    assert lost.finish() != 0 and not lost.events("registered")
