"""What system tests share: real processes in a network of their own, and waiting for what they say.

Nothing here sleeps: whoever waits, waits for a line, an event or a datagram, and gives up at a deadline with all that
the processes have said. A Lab ends the processes it started, and no other.
"""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("BELAY_BIN", ROOT / "build/dev/bin"))
BELAY, BELAYD = str(BIN / "belay"), str(BIN / "belayd")
DEADLINE = 20.0
DOMAIN, CLUSTER = "example.com", "edge.example.com"
PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _CLONE_NEWNET = 1, 0x40000000


def need(program):
    """The path of a client; without it the test fails and says how to get it."""
    path = shutil.which(program, path=PATH)
    if not path:
        pytest.fail(f"{program} is not installed: run ./dev setup --test", pytrace=False)
    return path


def password(user):
    return f"secret-{user}"


def _die_with_us():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A process and every line it has written. Lines of both streams stand in `lines`; `out` has stdout's alone."""

    def __init__(self, argv, name=None, cwd=None, env=None, files=None):
        self.name = name or Path(argv[0]).name
        self.argv, self.files = [str(a) for a in argv], files
        self.lines, self.out = [], []
        self._cond = threading.Condition()
        self._p = subprocess.Popen(
            self.argv, cwd=cwd, env={**os.environ, "PATH": PATH, **(env or {})}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_die_with_us, start_new_session=True)
        self.pid = self._p.pid
        self._readers = [threading.Thread(target=self._read, args=a, daemon=True)
                         for a in ((self._p.stdout, True), (self._p.stderr, False))]
        for r in self._readers:
            r.start()

    def _read(self, stream, out):
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            with self._cond:
                self.lines.append(line)
                if out:
                    self.out.append(line)
                self._cond.notify_all()
        with self._cond:
            self._cond.notify_all()

    def until(self, found, what, timeout=DEADLINE):
        """Waits until found() is true (it looks at lines) and returns it; the process may have ended by then."""
        end = time.monotonic() + timeout
        with self._cond:
            while True:
                got = found()
                if got:
                    return got
                left = end - time.monotonic()
                if left <= 0:
                    break
                if not any(r.is_alive() for r in self._readers):
                    got = found()
                    if got:
                        return got
                    break
                self._cond.wait(min(left, 0.5))
        state = "is silent" if self.running() else f"ended with {self._p.poll()}"
        pytest.fail(f"{self.name}: no {what} within {timeout:g} s; it {state}. It said:\n" + self.said(), pytrace=True)

    def expect(self, pattern, timeout=DEADLINE, since=0):
        rx = re.compile(pattern)
        return self.until(lambda: next((m for m in map(rx.search, self.lines[since:]) if m), None), f"/{pattern}/",
                          timeout)

    def mark(self):
        with self._cond:
            return len(self.lines)

    def said(self, last=120):
        with self._cond:
            return "\n".join(f"  {self.name}| {line}" for line in self.lines[-last:])

    def say(self, line):
        self._p.stdin.write(line.encode() + b"\n")
        self._p.stdin.flush()

    def running(self):
        return self._p.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def kill(self):
        """SIGKILL to it and to the children it made; returns when it is gone."""
        if self.running():
            os.killpg(self.pid, signal.SIGKILL)
        self._p.wait()

    def finish(self, timeout=DEADLINE):
        """Waits for its end; the exit status."""
        try:
            rc = self._p.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} does not end within {timeout:g} s. It said:\n{self.said()}")
        for r in self._readers:
            r.join(timeout)
        return rc

    def end(self):
        """What teardown does: politely, then not."""
        if self.running():
            try:
                os.killpg(self.pid, signal.SIGTERM)
                self._p.wait(3)
            except (subprocess.TimeoutExpired, ProcessLookupError):
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)  # children that outlived it
        except ProcessLookupError:
            pass
        self._p.wait()
        for r in self._readers:
            r.join(2)
        for f in (self._p.stdin, self._p.stdout, self._p.stderr):
            try:
                f.close()
            except OSError:
                pass


class Phone(Process):
    """`belay ua`: its events are JSON objects."""

    def events(self, event=None, **match):
        found = []
        for line in list(self.out):
            if line.startswith("{"):
                e = json.loads(line)
                if (event is None or e["event"] == event) and all(e.get(k) == v for k, v in match.items()):
                    found.append(e)
        return found

    def wait(self, event, count=1, timeout=DEADLINE, **match):
        """Waits for the count-th event that matches; returns it."""
        def found():
            got = self.events(event, **match)
            return got[count - 1] if len(got) >= count else None
        return self.until(found, f"event {event} {match or ''} (number {count})", timeout)

    def table(self):
        """The stickiness table."""
        n = len(self.events("table_end"))
        self.say("table")
        self.wait("table_end", n + 1)
        rows, ends = [], 0
        for e in self.events():
            if e["event"] == "table_end":
                ends += 1
            elif e["event"] == "binding" and ends == n:
                rows.append(e)
        return rows


def point(transport, ip, between=" "):
    return f"{transport}{between}{ip}:{5061 if transport == 'tls' else 5060}"


class Namespace:
    """A network namespace with a loopback of its own, for fixed ports and for clients that ignore loopback."""

    def __init__(self):
        need("ip")
        self._holder = Process(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
                               name="namespace")
        self._holder.expect("^up$")
        self.prefix = ["nsenter", "--net", "-t", str(self._holder.pid), "--"]

    def run(self, *argv):
        subprocess.run([*self.prefix, *argv], check=True, env={**os.environ, "PATH": PATH}, capture_output=True)

    def veth(self, *addresses):
        """A veth pair that stays inside: an interface that is not loopback, with these addresses."""
        self.run("ip", "link", "add", "net0", "type", "veth", "peer", "name", "net1")
        for a in addresses:
            self.run("ip", "addr", "add", f"{a}/24", "dev", "net0")
        self.run("ip", "link", "set", "net0", "up")
        self.run("ip", "link", "set", "net1", "up")

    def socket(self, kind, family=socket.AF_INET):
        """A socket inside. Only the thread that makes it goes there."""
        made = []

        def make():
            fd = os.open(f"/proc/{self._holder.pid}/ns/net", os.O_RDONLY)
            try:
                if _libc.setns(fd, _CLONE_NEWNET) == 0:
                    made.append(socket.socket(family, kind))
            finally:
                os.close(fd)
        t = threading.Thread(target=make)
        t.start()
        t.join()
        if not made:
            pytest.fail("cannot enter a network namespace: this needs root, or user namespaces")
        return made[0]

    def end(self):
        self._holder.end()


def own_network():
    """Second octet of a 127.x.0.0/16 that no other run of these tests has; the lock that holds it. An abstract socket's
    name belongs to the network namespace, as the addresses do: it also keeps runs in other roots of this machine away."""
    for n in range(32, 224):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0belay-tests-127.{n}")
            return n, lock
        except OSError:
            lock.close()
    pytest.fail("no network 127.x.0.0/16 is free: are so many tests running?")


class Node(Process):
    """A belayd."""


class Lab:
    """One test's processes, files and network."""

    def __init__(self, folder, net, workers=1):
        self.dir, self.net, self.workers = Path(folder), net, workers
        self.space = None
        self._things, self._sockets = [], []
        self.nodes, self._texts = {}, {}
        self.users_of = set()

    # network

    def isolate(self, veth=False):
        """From here on processes run in a network namespace; with veth its addresses are on an interface, .201 the
        first, which is what a client that binds to none sends from."""
        self.space = Namespace()
        if veth:
            self.net = "10.0.7"
            self.space.veth(*(f"10.0.7.{h}" for h in (*range(201, 206), 1, 2, 3, 4, 53, 100, 150, 240)))

    def ip(self, host):
        return f"{self.net}.{host}"

    def socket(self, kind=socket.SOCK_DGRAM, host=240, port=0, again=False):
        """again: the port may have been another's a moment ago."""
        s = self.space.socket(kind) if self.space else socket.socket(socket.AF_INET, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, again)
        s.bind((self.ip(host), port))
        s.settimeout(DEADLINE)
        return self.keep(s)

    def keep(self, s):
        """It is closed with the test."""
        self._sockets.append(s)
        return s

    # files

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def users(self, *names):
        """Users of the domain, made by `belay user add`; and keys, once."""
        for kind in ("cluster", "home"):
            if not (self.dir / f"{kind}.key").exists():
                subprocess.run([BELAY, "key", self.dir / f"{kind}.key"], check=True, capture_output=True)
        for name in names:
            if name not in self.users_of:
                self.users_of.add(name)
                subprocess.run([BELAY, "user", "add", self.dir / "users", f"{name}@{DOMAIN}"], check=True,
                               input=password(name) + "\n", text=True, capture_output=True)

    def certificates(self):
        """An authority, and certificates for the cluster and the domain by it; once."""
        if not (self.dir / f"tls/{DOMAIN}.pem").exists():
            subprocess.run([BELAY, "cert", "--dir", self.dir / "tls", CLUSTER, DOMAIN], check=True, capture_output=True)

    # processes

    def start(self, argv, name=None, kind=Process, **kw):
        p = kind([*(self.space.prefix if self.space else []), *argv], name=name or Path(str(argv[0])).name,
                 cwd=kw.pop("cwd", self.dir), **kw)
        self._things.append(p)
        return p

    def run(self, argv, timeout=DEADLINE, **kw):
        """To its end; (exit status, what it said)."""
        p = self.start(argv, **kw)
        rc = p.finish(timeout)
        return rc, "\n".join(p.lines)

    def belayd(self, name, text, roles=1, **kw):
        """A node from its configuration; returns when it is ready."""
        path = self.write(f"{name}.yaml", text)
        self._texts[name] = (text, roles, kw)
        node = self.start([BELAYD, "-c", path], name=name, kind=Node, **kw)
        node.until(lambda: sum("event=ready" in line for line in node.lines) >= roles, "event=ready")
        self.nodes[name] = node
        return node

    def restart(self, name):
        text, roles, kw = self._texts[name]
        return self.belayd(name, text, roles, **kw)

    def _secured(self, transport, at, name):
        """The value of `listen` and what follows it; and how far ends are known: by certificates, or by their address."""
        if transport != "tls":
            return f"[udp {at}:5060, tcp {at}:5060]", lambda domain, ranges: f"trust: {{{domain}: {ranges}}}"
        self.certificates()
        return (f"tls {at}:5061\ntls: {{cert: tls/{name}.pem, key: tls/{name}.key, ca: tls/ca.pem}}",
                lambda domain, ranges: "")

    def edge(self, name, members, transport="udp", home=None, extra="", more="", trusted=None):
        """members: {name: host number}; home: where that is; trusted: whom to take for it, when that is not all;
        extra: further keys of `edge`; more: further lines."""
        at = self.ip(members[name])
        all_of = ", ".join(f"{n}: {self.ip(h)}" for n, h in members.items())
        home = home or self.ip(100)
        listen, trust = self._secured(transport, at, CLUSTER)
        return self.belayd(name, f"""\
node: {name}
listen: {listen}
edge: {{cluster: {CLUSTER}, key_file: cluster.key, members: {{{all_of}}}, home: {DOMAIN}{extra}}}
{trust(DOMAIN, trusted or home)}
map: {{{DOMAIN}: {point(transport, home)}}}
dns: {{use: no}}
workers: {self.workers}
log: {{level: debug}}
{more.replace("NAME", name)}""")

    def home(self, members, transport="udp", extra="", more="", edges=None):
        at = self.ip(100)
        trusted = edges or "[" + ", ".join(self.ip(h) for h in members.values()) + "]"
        where = ", ".join(point(transport, self.ip(h)) for h in members.values())
        listen, trust = self._secured(transport, at, DOMAIN)
        return self.belayd("h1", f"""\
node: h1
listen: {listen}
home: {{domain: {DOMAIN}, edge: {CLUSTER}, key_file: home.key, users_file: users{extra}}}
{trust(CLUSTER, trusted)}
map: {{{CLUSTER}: [{where}]}}
dns: {{use: no}}
workers: {self.workers}
log: {{level: debug}}
{more}""")

    def cluster(self, edges=2, transport="udp", users=("joe", "bob"), home="", **kw):
        """A home at .100 and edges at .1, .2, …; home: further keys of its `home`, the rest is for edge()."""
        self.users(*users)
        self.members = {f"e{i}": i for i in range(1, edges + 1)}
        self.transport = transport
        self.home(self.members, transport, extra=home)
        for name in self.members:
            self.edge(name, self.members, transport, **kw)

    def maps(self, transport=None):
        transport = transport or self.transport
        return [f"--map={DOMAIN}={point(transport, self.ip(100), ':')}",
                *(f"--map={CLUSTER}={point(transport, self.ip(h), ':')}" for h in self.members.values()),
                *([f"--ca={self.dir}/tls/ca.pem"] if transport == "tls" else [])]

    def phone(self, user, *args, host, secret=None, maps=None, verb="register", interactive=True):
        """A phone of belay; with its commands on stdin unless interactive is false."""
        args = [a if isinstance(a, str) else str(a) for a in args]
        return self.start([BELAY, "ua", *([verb] if isinstance(verb, str) else verb), f"--aor=sip:{user}@{DOMAIN}",
                           f"--password={secret or password(user)}", f"--bind={self.ip(host)}",
                           *(self.maps() if maps is None else maps), *(["-i"] if interactive else []), *args],
                          name=f"phone-{user}", kind=Phone)

    def end(self):
        for t in reversed(self._things):
            t.end()
        for s in self._sockets:
            s.close()
        if self.space:
            self.space.end()

    def story(self):
        """What everybody said, for a failure."""
        return "\n\n".join(f"{t.name} ({' '.join(t.argv)}):\n{t.said(60)}" for t in self._things)


# ---- raw SIP ----

def message(start, body="", **headers):
    """A SIP message; header names with _ for -. A None leaves out."""
    head = [start] + [f"{k.replace('_', '-')}: {v}" for k, v in headers.items() if v is not None]
    return ("\r\n".join(head) + f"\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def options(sock, to, transport="UDP", branch="1", **headers):
    host, port = sock.getsockname()
    h = dict(Via=f"SIP/2.0/{transport} {host}:{port};branch=z9hG4bK{branch};rport", Max_Forwards="70",
             From=f"<sip:probe@{host}>;tag=p", To=f"<{to}>", Call_ID=f"{branch}@{host}", CSeq="1 OPTIONS")
    h.update(headers)
    return message(f"OPTIONS {to} SIP/2.0", **h)


def status(data):
    m = re.match(rb"SIP/2\.0 (\d{3}) ", data)
    assert m, data
    return int(m.group(1))


def read_stream(sock, n=1):
    """n messages without bodies from a stream; fewer when it is closed before."""
    data = b""
    while data.count(b"\r\n\r\n") < n:
        try:
            got = sock.recv(65536)
        except ConnectionError:
            break
        if not got:
            break
        data += got
    return [m + b"\r\n\r\n" for m in data.lstrip(b"\r\n").split(b"\r\n\r\n")[:-1]]
