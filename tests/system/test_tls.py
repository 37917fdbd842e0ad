"""TLS: the whole chain by certificates alone, foreign clients, certificates that change, resumption, refusals.

The foreign client is OpenSSL, through Python's ssl; every other end is belay."""
import os
import signal
import socket
import ssl
import subprocess

import pytest

import baresip
from baresip import Baresip
from belay import BELAY, BELAYD, CLUSTER, DOMAIN, options, read_stream, status

ALONE = """\
node: h1
listen: [udp {ip}:5060, tls {ip}:5061]
home: {{domain: example.com, policy: accept, key_file: home.key, users_file: users}}
tls: {{cert: {cert}, key: {key}, ca: tls/ca.pem{more}}}
workers: {workers}
{rest}"""


def cert(lab, *names, days=None):
    lab.run([BELAY, "cert", "--dir", "tls", *([f"--days={days}"] if days else []), *names])


def alone(lab, cert="tls/example.com.pem", key="tls/example.com.key", more="", rest=""):
    lab.users("joe")
    lab.certificates()
    return lab.belayd("h1", ALONE.format(ip=lab.ip(1), workers=lab.workers, cert=cert, key=key, more=more, rest=rest))


class Client:
    """OpenSSL's side of one connection."""

    def __init__(self, lab, host=1, sni=DOMAIN, context=None, session=None):
        self.context = context or trusting(lab)
        s = lab.socket(socket.SOCK_STREAM, 240)
        s.connect((lab.ip(host), 5061))
        self.s = lab.keep(self.context.wrap_socket(s, server_hostname=sni, session=session))
        self.n = 0

    def ask(self):
        """OPTIONS; the status of the answer."""
        self.n += 1
        self.s.sendall(options(self.s, f"sip:{DOMAIN}", "TLS", branch=f"{id(self)}-{self.n}"))
        return status(read_stream(self.s)[0])

    def serial(self):
        return self.s.getpeercert()["serialNumber"]

    def proves(self):
        return [value for _, value in self.s.getpeercert()["subjectAltName"]]


def trusting(lab, chain=None, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(lab.dir / "tls/ca.pem"))
    if chain:
        context.load_cert_chain(str(lab.dir / f"tls/{chain}.pem"), str(lab.dir / f"tls/{chain}.key"))
    if version:
        context.set_ciphers("ALL:@SECLEVEL=0")  # or OpenSSL refuses the old ones by itself
        context.minimum_version = context.maximum_version = version
    return context


# ---- belay with belay ----

def test_call_by_certificates_alone(lab):
    """No `trust`: edges and home know each other by their certificates (RFC 5922), both ways."""
    lab.cluster(transport="tls")
    bob = lab.phone("bob", host=202, verb="answer")
    bob.wait("registered", reg_id=2)
    joe = lab.phone("joe", "--hangup=50", host=201, verb=["call", f"sip:bob@{DOMAIN}"], interactive=False)
    assert bob.wait("invited")["from"] == f"sip:joe@{DOMAIN}"
    bob.wait("acked")
    bob.wait("request", method="BYE")
    assert joe.finish() == 0
    assert [e["status"] for e in joe.events("answered")] == [200, 200]
    assert all(r["transport"] == "TLS" for r in bob.table())


def handshakes(lab, sock, result):
    rc, text = lab.run([BELAY, "metrics", "--socket", sock])
    assert rc == 0, text
    want = f'belay_io_tls_handshakes_total{{result="{result}"}}'
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(want))


def test_call_survives_its_edge_and_sessions_are_resumed(lab):
    """Both edges die one after the other; who comes back resumes with any of them, also with one that has restarted."""
    lab.cluster(transport="tls", extra=", flow_timer: 10s", more="admin: {socket: NAME.sock}\n")
    joe, bob = lab.phone("joe", "--retry=1", host=201), lab.phone("bob", "--retry=1", host=202)
    for p in (joe, bob):
        p.wait("registered", reg_id=2)
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    lab.nodes["e2"].kill()
    for a, b in ((joe, bob), (bob, joe)):
        before, acks = len(a.events("answered", method="INVITE")), len(b.events("acked"))
        a.say("reinvite")
        assert a.wait("answered", before + 1, method="INVITE")["status"] == 200
        b.wait("acked", acks + 1)
    for p in (joe, bob):
        p.wait("flow_down")
    lab.restart("e2")
    for p in (joe, bob):
        p.wait("registered", 3)
    assert handshakes(lab, lab.dir / "e2.sock", "resumed") >= 2  # of a process that never saw these sessions
    lab.nodes["e1"].kill()
    bob.say("bye")
    joe.wait("request", method="BYE")
    assert bob.wait("answered", method="BYE")["status"] == 200


def test_a_phone_with_the_wrong_authority_goes_nowhere(lab):
    lab.cluster(edges=1, transport="tls")
    subprocess.run([BELAY, "cert", "--dir", lab.dir / "other", "x.example"], check=True, capture_output=True)
    maps = [m.replace("/tls/ca.pem", "/other/ca.pem") for m in lab.maps()]
    joe = lab.phone("joe", host=201, maps=maps, interactive=False)
    assert joe.finish(40) == 3
    assert not joe.events("registered")


# ---- foreign clients ----

@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_foreign_client(lab, version):
    alone(lab)
    client = Client(lab, context=trusting(lab, version=ssl.TLSVersion[version]))
    assert client.s.version().replace(".", "_") == version
    assert client.ask() == 200
    assert client.proves() == [f"sip:{DOMAIN}", DOMAIN]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.one_worker("the handshake is the same in each")
def test_old_versions_are_refused(lab):
    node = alone(lab)
    for version in ("TLSv1", "TLSv1_1"):
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION|protocol version"):
            Client(lab, context=trusting(lab, version=ssl.TLSVersion[version]))
    node.expect("event=tls_failed .*opened_by=peer")


@pytest.mark.one_worker("the handshake is the same in each")
def test_no_handshake_inside_a_session(lab):
    alone(lab)
    client = lab.start(["openssl", "s_client", "-connect", f"{lab.ip(1)}:5061", "-tls1_2", "-CAfile", "tls/ca.pem"])
    client.expect("Verify return code: 0")
    client.say("R")
    client.expect("alert unexpected message")
    assert client.finish() != 0
    assert Client(lab).ask() == 200


@pytest.mark.one_worker("the handshake is the same in each")
def test_the_certificate_that_was_asked_for(lab):
    cert(lab, "a.example", "b.example")
    alone(lab, cert="[tls/a.example.pem, tls/b.example.pem]", key="[tls/a.example.key, tls/b.example.key]")
    context = trusting(lab)
    context.check_hostname = False
    for sni, shown in (("a.example", "a.example"), ("b.example", "b.example"), ("c.example", "a.example")):
        assert shown in Client(lab, sni=sni, context=context).proves()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_any_edge_resumes(lab, version):
    lab.cluster(transport="tls")
    context = trusting(lab, version=ssl.TLSVersion[version])
    first = Client(lab, 1, CLUSTER, context)
    first.ask()
    assert not first.s.session_reused
    session = first.s.session
    second = Client(lab, 2, CLUSTER, context, session)
    second.ask()
    assert second.s.session_reused
    lab.nodes["e1"].kill()
    lab.restart("e1")
    assert Client(lab, 1, CLUSTER, context, session).s.session_reused
    home = Client(lab, 100, DOMAIN, context, session)  # whose keys are others
    assert not home.s.session_reused


def test_clients_with_certificates(lab):
    cert(lab, "joe.example")
    alone(lab, more=", clients: require")
    assert Client(lab, context=trusting(lab, "joe.example")).ask() == 200
    nobody = trusting(lab, version=ssl.TLSVersion.TLSv1_3)
    for context in (nobody, trusting(lab, version=ssl.TLSVersion.TLSv1_2)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client = Client(lab, context=context)
            if not client.s.recv(1):  # with 1.3 it hears of it only now
                raise ConnectionError


@pytest.mark.one_worker("limits are per connection")
def test_who_stalls_is_closed(lab):
    alone(lab, rest="timers: {handshake: 300ms, stuck: 300ms}\n")
    silent = lab.socket(socket.SOCK_STREAM)
    silent.connect((lab.ip(1), 5061))
    assert silent.recv(1) == b""
    client = Client(lab)
    assert client.ask() == 200
    raw = socket.socket(fileno=os.dup(client.s.fileno()))
    raw.settimeout(20)
    raw.sendall(b"\x17\x03\x03\x01\x00half of it")
    while raw.recv(4096):  # tickets, and close_notify
        pass
    raw.close()


def test_baresip(lab):
    """Unmodified, with two proxies over TLS: registers, calls and is called."""
    baresip.network(lab)
    lab.cluster(edges=2, transport="tls", home=", digest: md5")
    joe = Baresip(lab, "joe", 201, outbound=[1, 2], transport="tls")
    bob = lab.phone("bob", host=202)
    bob.wait("registered", reg_id=2)
    for reg_id in (1, 2):
        joe.registered(reg_id)
    joe.do("dial", f"sip:bob@{DOMAIN}")
    joe.wait("CALL_ESTABLISHED")
    bob.wait("acked")
    joe.do("hangup")
    bob.wait("request", method="BYE")
    bob.say(f"call sip:joe@{DOMAIN}")
    joe.wait("CALL_ESTABLISHED", 2)
    bob.say("bye")
    joe.wait("CALL_CLOSED", 2)


# ---- certificates that change ----

@pytest.mark.parametrize("how", ["by itself", "SIGHUP"])
def test_new_files_are_taken_without_a_flow_lost(lab, how):
    node = alone(lab)
    old = Client(lab)
    assert old.ask() == 200
    cert(lab, DOMAIN)  # by rename, key first: between the two they do not fit
    if how == "SIGHUP":
        node.signal(signal.SIGHUP)
    node.expect("event=certificates_reloaded .*tls/example.com.pem")
    new = Client(lab)
    assert new.serial() != old.serial()
    assert new.ask() == 200 and old.ask() == 200


def test_a_link_to_another_folder_is_followed(lab):
    """As certificates are mounted into containers, and as certbot renews them."""
    cert(lab, DOMAIN)
    for n in ("1", "2"):
        cert(lab, DOMAIN)
        (lab.dir / f"v{n}").mkdir()
        for ending in ("pem", "key"):
            os.rename(lab.dir / f"tls/{DOMAIN}.{ending}", lab.dir / f"v{n}/x.{ending}")
    (lab.dir / "now").symlink_to("v1")
    for ending in ("pem", "key"):
        (lab.dir / f"x.{ending}").symlink_to(f"now/x.{ending}")
    node = alone(lab, cert="x.pem", key="x.key")
    old = Client(lab)
    (lab.dir / "then").symlink_to("v2")
    os.rename(lab.dir / "then", lab.dir / "now")
    node.expect("event=certificates_reloaded")
    assert Client(lab).serial() != old.serial()
    assert old.ask() == 200


@pytest.mark.one_worker("worker 0 reads the files")
def test_bad_new_files_are_refused_and_named(lab):
    node = alone(lab)
    serial = Client(lab).serial()
    pem, key, ca = (lab.dir / f"tls/{n}" for n in (f"{DOMAIN}.pem", f"{DOMAIN}.key", "ca.pem"))
    good = {f: f.read_bytes() for f in (pem, key, ca)}
    cert(lab, "other.example")
    expired = expire(lab)
    for path, octets, says in ((pem, b"nothing\n", "there is no certificate in it"),
                               (key, (lab.dir / "tls/other.example.key").read_bytes(), "does not belong to"),
                               (ca, b"", "there is no certificate in it"),
                               (pem, expired, "the certificate is expired; the one in use stays"),
                               (pem, None, "there is no such file")):
        mark = node.mark()
        path.unlink() if octets is None else path.write_bytes(octets)
        line = node.expect("event=certificates_refused .*", since=mark).group()
        assert str(path) in line and says in line and "those in use stay" in line
        assert Client(lab, context=trusting_all()).s.getpeercert(True)
        mark = node.mark()
        path.write_bytes(good[path])
        node.expect("event=certificates_reloaded", since=mark)
    assert Client(lab).serial() == serial


def trusting_all():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def expire(lab, name=DOMAIN):
    """A certificate for the domain's key that was valid a day long."""
    run = subprocess.run(["openssl", "x509", "-new", "-subj", f"/CN={name}", "-force_pubkey", "/dev/stdin", "-days", "-1",
                          "-CA", lab.dir / "tls/ca.pem", "-CAkey", lab.dir / "tls/ca.key"], capture_output=True, check=True,
                         input=subprocess.run(["openssl", "pkey", "-in", lab.dir / f"tls/{name}.key", "-pubout"],
                                              capture_output=True, check=True).stdout)
    return run.stdout


# ---- what --check and belay cert say ----

@pytest.mark.one_worker("it ends before a worker begins")
def test_check_reads_certificates_too(lab):
    lab.users("joe")
    lab.certificates()
    cert(lab, "other.example")
    cert(lab, "soon.example", days=3)

    def check(**kw):
        path = lab.write("h1.yaml", ALONE.format(**{**dict(ip=lab.ip(1), workers=1, more="", rest=""), **kw}))
        return lab.run([BELAYD, "--check", "-c", path])
    mine = dict(cert=f"tls/{DOMAIN}.pem", key=f"tls/{DOMAIN}.key")
    rc, said = check(**mine)
    assert rc == 0 and "warning" not in said
    rc, said = check(cert="tls/other.example.pem", key="tls/other.example.key")
    assert rc == 0 and f"other.example.pem: warning: no certificate proves {DOMAIN}" in said
    rc, said = check(cert="[tls/soon.example.pem, tls/example.com.pem]", key="[tls/soon.example.key, tls/example.com.key]")
    assert rc == 0 and "soon.example.pem: warning: the certificate expires in 3 days" in said
    (lab.dir / "tls/old.pem").write_bytes(expire(lab))
    rc, said = check(cert="tls/old.pem", key=f"tls/{DOMAIN}.key")
    assert rc == 0 and "old.pem: warning: the certificate is expired; renew it" in said
    rc, said = check(cert=f"tls/{DOMAIN}.pem", key="tls/other.example.key")
    assert rc == 1 and "other.example.key (tls.key): does not belong to the certificate in" in said
    rc, said = check(**mine, more=", ca: x")
    assert rc == 1 and ":4:" in said and "tls.ca" in said
    rc, said = check(**{**mine, "cert": "tls/none.pem"})
    assert rc == 1 and "none.pem (tls.cert): there is no such file; `belay cert`" in said


@pytest.mark.one_worker("no node runs")
def test_cert_usage(lab):
    for args, words in (([], "usage"), (["--days=0", "a.example"], "--days: 1 to 3650"),
                        (["a b"], "not domain names"), (["127.0.0.1"], "not domain names"),
                        (["a.example,"], "not domain names"), (["--sing", "a.example"], "usage"),
                        (["a.example", "x-.example"], "not domain names")):
        rc, said = lab.run([BELAY, "cert", *args])
        assert rc == 2 and words in said, said
    assert not list(lab.dir.glob("*.pem"))
    rc, said = lab.run([BELAY, "cert", "--dir", "/proc/x", "a.example"])
    assert rc == 1 and "/proc/x: cannot be made" in said
    rc, said = lab.run([BELAY, "cert", "--help"])
    assert rc == 0 and said.startswith("usage: belay cert")
