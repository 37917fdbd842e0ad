"""A real authoritative name server, NSD, on an address of the test's network; its zones change while it runs."""
import os
import signal
import socket
import struct
import time

from belay import DEADLINE, need

PORT = 5353
SOA = 6


def _question(name, kind):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
    return struct.pack("!HHHHHH", os.getpid() & 0xffff, 0, 1, 0, 0, 0) + labels + struct.pack("!HH", kind, 1)


class NameServer:
    """zones: {name: records}, in the text of a zone file below its SOA and NS. negative: seconds that a no holds."""

    def __init__(self, lab, zones, negative=60, host=53):
        self.lab, self.ip, self.negative = lab, lab.ip(host), negative
        self.zones, self.serial = {}, 0
        for name in zones:
            self._write(name, zones[name])
        listed = "".join(f'zone:\n  name: {z}\n  zonefile: "{lab.dir}/{z}.zone"\n' for z in zones)
        conf = lab.write("nsd.conf", f"""\
server:
  ip-address: {self.ip}@{PORT}
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{lab.dir}"
  pidfile: "{lab.dir}/nsd.pid"
  xfrdfile: "{lab.dir}/xfrd.state"
  zonelistfile: "{lab.dir}/zone.list"
  zonefiles-check: yes
  rrl-ratelimit: 0
remote-control:
  control-enable: no
{listed}""")
        self.process = lab.start([need("nsd"), "-d", "-c", conf], name="nsd")
        self._asking = lab.socket()
        self._asking.settimeout(0.1)
        self._until_served()

    @property
    def address(self):
        return f"{self.ip}:{PORT}"

    def _write(self, name, records):
        self.serial += 1
        self.zones[name] = records, self.serial
        text = (f"$ORIGIN {name}.\n$TTL 300\n@ {self.negative} SOA ns hostmaster {self.serial} 3600 600 86400 "
                f"{self.negative}\n@ NS ns\nns A {self.ip}\n{records}\n")
        path = self.lab.dir / f"{name}.zone"
        path.with_suffix(".new").write_text(text)
        os.replace(path.with_suffix(".new"), path)

    def _serves(self, name):
        """Its serial as the server has it."""
        question = _question(name, SOA)
        self._asking.sendto(question, (self.ip, PORT))
        try:
            answer = self._asking.recv(4096)
        except (TimeoutError, ConnectionRefusedError):
            return None
        if struct.unpack("!H", answer[6:8]) == (0,):
            return None
        data = len(question) + 12  # behind the question: a pointer, type, class, TTL, length
        end = data + struct.unpack("!H", answer[data - 2:data])[0]
        return struct.unpack("!I", answer[end - 20:end - 16])[0]

    def _until_served(self):
        end = time.monotonic() + DEADLINE
        for name, (records, serial) in self.zones.items():
            while self._serves(name) != serial:
                assert time.monotonic() < end, f"nsd does not serve {name}: {records}\n{self.process.said()}"

    def change(self, name, records):
        """Returns when the new zone is served."""
        self._write(name, records)
        os.kill(int((self.lab.dir / "nsd.pid").read_text()), signal.SIGHUP)
        self._until_served()
