"""RFC 4475 and RFC 5118 against a running belayd: what tests/torture/expected.tsv says comes back, and nothing else.

In a network namespace: nothing can follow an address that a message names.
"""
import socket

import pytest

from belay import ROOT, options, read_stream, status

NODE = """\
node: h1
listen: [udp {ip}:5060, tcp {ip}:5060]
home: {{domain: example.com, policy: accept, key_file: home.key, users_file: users}}
dns: {{use: no}}
workers: {workers}
"""
TABLE = [line.split("\t") for line in (ROOT / "tests/torture/expected.tsv").read_text().splitlines()[1:]]


@pytest.fixture
def node(lab, workers):
    lab.isolate()
    lab.users("joe")
    return lab.belayd("h1", NODE.format(ip=lab.ip(1), workers=workers))


def statuses(text):
    return [int(word) for word in text.split() if word not in ("0", "wait")]


def final(sock):
    """The next final response; provisional ones are of no interest."""
    while (code := status(sock.recv(65536))) < 200:
        pass
    return code


def test_in_a_datagram(lab, node):
    """The order of answers on one flow is that of the requests: what comes before the probe's is the message's."""
    assert len(TABLE) == 49 + 12
    for name, _, _, datagram, _, _ in TABLE:
        sock, got = lab.socket(), []
        sock.sendto((ROOT / f"tests/torture/{name}.dat").read_bytes(), (lab.ip(1), 5060))
        for _ in statuses(datagram):
            got.append(final(sock))
        sock.sendto(options(sock, f"sip:{lab.ip(1)}", branch=f"after-{name}"), (lab.ip(1), 5060))
        answer = sock.recv(65536)
        assert got == statuses(datagram) and b"after-" in answer, (name, got, answer)
    assert node.running()


def test_on_a_stream(lab, node):
    """To the end of the connection, whose other half we close behind the message."""
    for name, _, _, _, stream, _ in TABLE:
        sock = lab.socket(socket.SOCK_STREAM)
        sock.connect((lab.ip(1), 5060))
        sock.sendall((ROOT / f"tests/torture/{name}.dat").read_bytes())
        sock.shutdown(socket.SHUT_WR)
        got = [status(m) for m in read_stream(sock, 9)]
        assert [code for code in got if code >= 200] == statuses(stream), (name, got)
    assert node.running()
