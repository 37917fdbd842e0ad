"""The outbound proxy out of DHCP (RFC 3361, RFC 3319): asked for, and from the leases of the host's own clients.

        hub, with our nodes: srv0 10.0.7.1…  ──veth──  cli0 10.0.7.9 :the phone

A real server (dnsmasq) and a real client (dhclient). The phone knows where the cluster's names are (the static map), but
not by which it is to go: that is DHCP's.
"""
import os
import subprocess

import pytest

from belay import CLUSTER, DOMAIN, PATH, Namespace, Phone, Process, need, password, BELAY

PHONE_IP = "10.0.7.201"
pytestmark = pytest.mark.one_worker("what a node does is not looked at")


class Host(Namespace):
    """A host of its own behind a cable; its files in /run/systemd/netif and /var/lib/dhcp are the test's."""

    def __init__(self, lab, folder):
        need("ip")
        self.networkd, self.dhclient = folder / "netif", folder / "dhcp"
        for d in (self.networkd / "leases", self.networkd / "links", self.dhclient):
            d.mkdir(parents=True)
        script = (f"mkdir -p /run/systemd/netif /var/lib/dhcp && mount --bind {self.networkd} /run/systemd/netif && "
                  f"mount --bind {self.dhclient} /var/lib/dhcp && ip link set lo up && "
                  "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad && "
                  "echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad && echo up && exec sleep infinity")
        self._holder = Process(["unshare", "--net", "--mount", "sh", "-c", script], name="host")
        self._holder.expect("^up$")
        self.prefix = ["nsenter", "--net", "--mount", "-t", str(self._holder.pid), "--"]
        lab.space.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
        lab.space.run("ip", "link", "add", "srv0", "type", "veth", "peer", "name", "cli0", "netns", str(self._holder.pid))
        for a in (*range(1, 5), 53, 100):
            lab.space.run("ip", "addr", "add", f"10.0.7.{a}/24", "dev", "srv0")
        lab.space.run("ip", "addr", "add", "fd00:7::1/64", "dev", "srv0", "nodad")
        lab.space.run("ip", "link", "set", "srv0", "up")
        self.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/cli0/accept_dad")  # its address is there at once
        self.run("ip", "link", "set", "cli0", "up")
        self.run("timeout", "10", "sh", "-c", "until ip -6 addr show dev cli0 scope link -tentative | grep -q inet6; do :; done")

    def index(self):
        line = subprocess.run([*self.prefix, "ip", "-o", "link", "show", "cli0"], check=True, capture_output=True,
                              text=True, env={**os.environ, "PATH": PATH}).stdout
        return int(line.split(":")[0])


@pytest.fixture
def net(lab, tmp_path):
    lab.space = Namespace()
    lab.net = "10.0.7"
    host = Host(lab, tmp_path)
    lab.host = host
    yield host
    host.end()


def serve(lab, *options, force=""):
    """dnsmasq on the far end of the cable; force: also what is not asked for."""
    space = lab.space
    args = [f"--dhcp-option{force}={o}" for o in options]
    server = lab.start([need("dnsmasq"), "-k", "--port=0", "--conf-file=/dev/null", "--leasefile-ro", "--user=root",
                        "--interface=srv0", "--bind-interfaces", "--log-facility=-", "--log-dhcp", "--pid-file=",
                        "--dhcp-range=10.0.7.201,10.0.7.210,1h", "--dhcp-range=fd00:7::100,fd00:7::200,64,1h", *args])
    assert space is lab.space
    server.expect("DHCP.*range|sockets bound|DHCP, IP range")
    return server


def phone(lab, *args, address=True):
    if address:
        lab.host.run("ip", "addr", "add", f"{PHONE_IP}/24", "dev", "cli0")
    p = Phone([*lab.host.prefix, BELAY, "ua", "register", "-i", f"--aor=sip:joe@{DOMAIN}", f"--password={password('joe')}",
               *lab.maps(), "--outbound", "dhcp", *args], name="phone-joe", cwd=lab.dir)
    lab._things.append(p)
    return p


def registered_through_the_cluster(p):
    for reg_id in (1, 2):
        assert f"@{CLUSTER}" in p.wait("registered", reg_id=reg_id)["edge"]
    assert not p.events("redirected")  # step 3 of the discovery, not step 1


FOUR = {"names": (f"option:sip-server,{CLUSTER},other.example.net", f"sip:{CLUSTER};lr sip:other.example.net;lr"),
        "addresses": ("option:sip-server,10.0.7.1,10.0.7.2", "sip:10.0.7.1;lr sip:10.0.7.2;lr")}


@pytest.mark.parametrize("encoding", FOUR)
def test_asks_by_dhcpinform(lab, net, encoding):
    lab.cluster()
    serve(lab, FOUR[encoding][0])
    p = phone(lab)
    told = p.wait("outbound")
    assert told["text"] == FOUR[encoding][1] and told["reason"] == "DHCP on cli0"
    registered_through_the_cluster(p)


def test_asks_by_information_request(lab, net):
    """An IPv6 host without any IPv4 address asks by DHCPv6; names come before addresses."""
    lab.users("joe")
    lab.members, lab.transport = {}, "udp"
    serve(lab, f"option6:21,{CLUSTER}", "option6:22,[fd00:7::5],[fd00:7::6]")
    p = phone(lab, "--dhcp-interface", "cli0", address=False)
    told = p.wait("outbound")
    assert told["reason"] == "DHCPv6 on cli0"
    assert told["text"] == f"sip:{CLUSTER};lr sip:[fd00:7::5];lr sip:[fd00:7::6];lr"


def test_a_dead_proxy_is_followed_by_the_next(lab, net):
    lab.cluster()
    serve(lab, "option:sip-server,10.0.7.53,10.0.7.1")  # nobody listens on the first
    p = phone(lab)
    assert p.wait("outbound")["text"] == "sip:10.0.7.53;lr sip:10.0.7.1;lr"
    p.wait("register_failed", local=True)
    registered_through_the_cluster(p)


def test_nothing_named_is_discovery(lab, net):
    """A network without SIP servers in its DHCP: said, and found by the AOR's domain."""
    lab.cluster()
    serve(lab)
    p = phone(lab)
    told = p.wait("outbound")
    assert "text" not in told and told["reason"] == "the DHCP server names no SIP server on cli0"
    p.wait("redirected")
    p.wait("registered", reg_id=2)


def test_nobody_answers_is_discovery(lab, net):
    lab.cluster()
    p = phone(lab)
    told = p.wait("outbound")
    assert "text" not in told and told["reason"] == "no DHCP server answered on cli0"
    p.wait("registered", reg_id=2)


def test_without_the_right_to_ask(lab, net):
    lab.cluster()
    lab.host.run("ip", "addr", "add", f"{PHONE_IP}/24", "dev", "cli0")
    argv = [*lab.host.prefix, need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
            "--inh-caps=-all", BELAY, "ua", "register", "-i", f"--aor=sip:joe@{DOMAIN}", "--password=x", *lab.maps(),
            "--outbound=dhcp"]
    p = lab.start([*argv], kind=Phone, name="phone-joe") if not lab.space else Phone(argv, name="phone-joe")
    lab._things.append(p)
    assert "run as root, or with CAP_NET_BIND_SERVICE" in p.wait("outbound")["reason"]


def test_interface_that_is_not_there(lab, net):
    lab.cluster()
    p = phone(lab, "--dhcp-interface=eth7")
    assert p.wait("outbound")["reason"] == "there is no interface eth7, or it is down"
    p.wait("registered", reg_id=2)


@pytest.mark.parametrize("family", ["4", "6"])
def test_lease_of_dhclient(lab, net, family):
    """dhclient's own lease file; nobody is asked any more, the server is gone."""
    lab.cluster()
    server = serve(lab, FOUR["names"][0], force="-force")
    if family == "6":
        server.end()
        server = serve(lab, f"option6:21,{CLUSTER}", "option6:22,[fd00:7::5]")
    conf = lab.write("dhclient.conf", "request subnet-mask, dhcp6.sip-servers-names, dhcp6.sip-servers-addresses;\n")
    name = "dhclient.leases" if family == "4" else "dhclient6.leases"
    client = Process([*lab.host.prefix, need("dhclient"), f"-{family}", "-d", "-cf", conf, "-lf", f"/var/lib/dhcp/{name}",
                      "-pf", lab.dir / "dhclient.pid", "-sf", "/bin/true", "cli0"], name="dhclient")
    lab._things.append(client)
    client.expect("bound to|Bound to lease")
    written = net.dhclient / name  # it says so before it has
    subprocess.run(["timeout", "20", "sh", "-c", f"until grep -qs '^}}' {written}; do :; done"], check=True)
    client.kill()  # without giving the lease back
    server.end()
    p = phone(lab)
    told = p.wait("outbound")
    assert told["reason"] == f"the lease /var/lib/dhcp/{name}"
    assert told["text"] == (FOUR["names"][1] if family == "4" else f"sip:{CLUSTER};lr sip:[fd00:7::5];lr")
    registered_through_the_cluster(p)


def test_lease_of_networkd(lab, net):
    lab.cluster()
    path = net.networkd / "leases" / str(net.index())
    path.write_text(f"# This is private data. Do not parse.\nADDRESS={PHONE_IP}\nNETMASK=255.255.255.0\n"
                    "SERVER_ADDRESS=10.0.7.1\nDNS=10.0.7.53\nSIP=10.0.7.1 10.0.7.2\n")
    p = phone(lab)
    told = p.wait("outbound")
    assert told["text"] == "sip:10.0.7.1;lr sip:10.0.7.2;lr"
    assert told["reason"] == f"the lease /run/systemd/netif/leases/{net.index()}"
    registered_through_the_cluster(p)
