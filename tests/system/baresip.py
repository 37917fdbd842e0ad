"""baresip, driven by its ctrl_tcp module, in a network namespace (it does not use loopback)."""
import json
import socket
import wave

from belay import CLUSTER, DOMAIN, need, password
from dns import Names

CONTROL = 4444


def network(lab):
    """A namespace with an interface, and a name server that knows the edges."""
    lab.isolate(veth=True)
    edges = [lab.ip(h) for h in (1, 2)]
    names = {f"e{i}.{DOMAIN}": [a] for i, a in enumerate(edges, 1)}
    services = {f"_sip._{tp}.{CLUSTER}": [(1, 1, 5060, n) for n in names] for tp in ("udp", "tcp")}
    return Names(lab.socket(socket.SOCK_DGRAM, 53, 53), {**names, CLUSTER: edges}, services)


class Baresip:
    """One baresip with one account; outbound: the hosts of its proxies."""

    def __init__(self, lab, user, host, outbound, transport="udp", answer="auto", sipnat=True):
        self.user, self.lab, self.address = user, lab, lab.ip(host)
        folder = lab.dir / f"baresip-{user}"
        folder.mkdir()
        port = ":5061" if transport == "tls" else ""
        proxies = "".join(f';outbound{"" if i == 0 else i + 1}="sip:{lab.ip(h)}{port};transport={transport}"'
                          for i, h in enumerate(outbound))
        (folder / "accounts").write_text(
            f"<sip:{user}@{DOMAIN};transport={transport}>;auth_user={user};auth_pass={password(user)}{proxies}"
            f"{';sipnat=outbound' if sipnat else ''};regint=60;answermode={answer}\n")
        (folder / "contacts").write_text("")
        (folder / "uuid").write_text(f"00000000-0000-4000-8000-{host:012d}")
        with wave.open(str(folder / "said.wav"), "wb") as w:
            w.setnchannels(1)
            w.setsampwidth(2)
            w.setframerate(8000)
            w.writeframes(bytes(16000 * 60))
        modules = "".join(f"module {m}.so\n" for m in ("g711", "aufile", "uuid"))
        applications = "".join(f"module_app {m}.so\n" for m in ("account", "menu", "ctrl_tcp"))
        (folder / "config").write_text(f"""\
poll_method epoll
sip_listen {self.address}:5060
net_interface net0
dns_server {lab.ip(53)}:53
audio_source aufile,{folder}/said.wav
audio_player aufile,{folder}/heard.wav
audio_alert aufile,{folder}/alert.wav
ausrc_srate 8000
auplay_srate 8000
module_path /usr/lib/baresip/modules
{modules}{applications}ctrl_tcp_listen {self.address}:{CONTROL}
""")
        self.process = lab.start([need("baresip"), "-f", folder, "-v", "-s"], name=f"baresip-{user}",
                                 env={"HOME": str(folder)})
        self.events, self.replies, self._data = [], [], b""
        self._control = self._connect()

    def _connect(self):
        self.process.expect("ctrl_tcp: TCP socket listening")
        s = self.lab.socket(socket.SOCK_STREAM)
        s.connect((self.address, CONTROL))
        return s

    def registered(self, reg_id=1):
        self.process.expect(r"\{%d/\w+/v4\} 200 OK" % reg_id)

    def _read(self):
        """One netstring from the control connection."""
        while True:
            head, colon, rest = self._data.partition(b":")
            if colon and len(rest) > int(head):
                self._data = rest[int(head) + 1:]
                return json.loads(rest[:int(head)])
            got = self._control.recv(65536)
            assert got, "baresip closed its control connection\n" + self.process.said()
            self._data += got

    def _step(self):
        m = self._read()
        (self.events if m.get("event") else self.replies).append(m)

    def wait(self, kind, count=1):
        """Waits for the count-th event of this type: REGISTER_OK, CALL_ESTABLISHED, CALL_CLOSED, …"""
        while True:
            got = [e for e in self.events if e.get("type") == kind]
            if len(got) >= count:
                return got[count - 1]
            try:
                self._step()
            except TimeoutError:
                raise AssertionError(f"baresip: no event {kind}; it had {[e.get('type') for e in self.events]}\n"
                                     + self.process.said())

    def do(self, command, params=""):
        text = json.dumps({"command": command, "params": params, "token": "t"}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))
        n = len(self.replies)
        while len(self.replies) == n:
            self._step()
        reply = self.replies[-1]
        assert reply.get("ok", True), reply
        return reply
