"""A name server for a test: A and SRV from a table, NXDOMAIN for the rest."""
import socket
import struct
import threading

A, SRV = 1, 33


def _name(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"


def _question(data):
    at, labels = 12, []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("ascii", "replace"))
        at += 1 + data[at]
    return ".".join(labels).lower(), struct.unpack("!H", data[at + 1:at + 3])[0], data[12:at + 5]


class Names:
    """names: {name: [address, ...]}; services: {name: [(priority, weight, port, target), ...]}"""

    def __init__(self, sock, names, services):
        self.sock, self.names, self.services, self.asked = sock, names, services, []
        sock.settimeout(0.1)  # a recvfrom that blocks without limit has been seen to sleep through a datagram
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            if len(data) > 16:
                try:
                    self.sock.sendto(self._answer(data), peer)
                except OSError:  # the test has ended
                    return

    def _answer(self, data):
        name, kind, question = _question(data)
        self.asked.append((name, kind))
        rdata = []
        if kind == A:
            rdata = [socket.inet_aton(a) for a in self.names.get(name, [])]
        elif kind == SRV:
            rdata = [struct.pack("!HHH", *s[:3]) + _name(s[3]) for s in self.services.get(name, [])]
        known = name in self.names or name in self.services
        head = data[:2] + struct.pack("!HHHHH", 0x8580 if known else 0x8583, 1, len(rdata), 0, 0)
        return head + question + b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(r)) + r for r in rdata)
