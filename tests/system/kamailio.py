"""Kamailio as a home (registrar and proxy) and as a proxy in between that knows nothing of belay."""
import socket
import time

from belay import CLUSTER, DEADLINE, DOMAIN, need, options, status
from dns import Names

COMMON = """\
#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
disable_tcp=no
enable_tls=no
listen=udp:{ip}:5060
listen=tcp:{ip}:5060
{aliases}
dns_cache_init=on
use_dns_failover=yes
tcp_connection_lifetime=3600
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
modparam("rr", "enable_full_lr", 1)
modparam("tm", "fr_timer", {fr})
"""

HOME = """\
loadmodule "usrloc.so"
loadmodule "path.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 0)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    if (is_method("OPTIONS") && uri == myself && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("$td", "secret-$tU", "0")) {{ www_challenge("$td", "1"); exit; }}
        save("location");
        exit;
    }}
    loose_route();
    if (is_method("INVITE")) record_route();
    if (!lookup("location")) {{ sl_send_reply("480", "Away"); exit; }}
    t_relay();
}}
"""

BETWEEN = """\
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (is_method("OPTIONS") && uri == myself) {{ sl_send_reply("200", "OK"); exit; }}
    loose_route();
    if (!has_totag() && is_method("INVITE")) record_route();
    if (src_ip == {home}) t_set_fr(0, 1000); # towards the edges: the next one soon
    t_relay();
}}
"""

SECURE = """\
#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
enable_tls=yes
tcp_accept_aliases=yes
tcp_source_ipv4={ip}
listen=udp:{ip}:5060
listen=tcp:{ip}:5060
listen=tls:{ip}:5061
alias="{domain}"
tcp_connection_lifetime=3600
loadmodule "tls.so"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
modparam("tls", "config", "{dir}/kamailio-tls.cfg")
modparam("rr", "enable_full_lr", 1)
"""

# Registrar and proxy of its own domain, with another one next to it that it reaches by TLS (RFC 5923: it takes up the
# other's connection when that offers it by ;alias).
PEER = SECURE + """\
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("usrloc", "db_mode", 0)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ route(ON); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    if (is_method("OPTIONS") && uri == myself) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER")) {{ save("location"); exit; }}
    loose_route();
    if (is_method("INVITE")) record_route_preset("{domain}");
    if ($rd == "{domain}" && !lookup("location")) {{ sl_send_reply("480", "Away"); exit; }}
    route(ON);
}}

route[ON] {{
    if ($dd == "{other}" || ($du == $null && $rd == "{other}")) {{ t_relay_to_tls("{other_ip}", "5061"); exit; }}
    t_relay();
}}
"""

# By its name: the path module would write the address, which no certificate proves.
ADD_PATH = 'if (is_method("REGISTER")) insert_hf("Path: <sip:{name}:5061;transport=tls;lr>\\r\\n", "Path");'

# Between edges and home, over TLS on both sides; with Path or without.
BORDER = SECURE + """\
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (is_method("OPTIONS") && uri == myself) {{ sl_send_reply("200", "OK"); exit; }}
    loose_route();
    if (!has_totag() && is_method("INVITE")) record_route_preset("{domain}:5061;transport=tls");
    {path}
    if ($dd == "{cluster}") {{ t_relay_to_tls("{edge_ip}", "5061"); exit; }}
    if ($dd == "{home}" || ($du == $null && $rd == "{home}")) {{ t_relay_to_tls("{home_ip}", "5061"); exit; }}
    t_relay();
}}
"""

TLS = """\
[server:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
certificate = {dir}/tls/{name}.pem
private_key = {dir}/tls/{name}.key
ca_list = {dir}/tls/ca.pem
[client:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
certificate = {dir}/tls/{name}.pem
private_key = {dir}/tls/{name}.key
ca_list = {dir}/tls/ca.pem
"""


def nameserver():
    """Whom the C library of this machine asks first."""
    try:
        with open("/etc/resolv.conf", encoding="ascii", errors="replace") as f:
            asked = [line.split()[1] for line in f if line.startswith("nameserver ")]
    except OSError:
        asked = []
    return (asked or ["127.0.0.1"])[0].partition("%")[0]


def network(lab):
    """A namespace whose resolver is a name server of the test: edge cluster and home by SRV and A. It has the address of
    the machine's own one, so that /etc/resolv.conf may stay as it is (in a plain chroot it cannot be mounted over)."""
    at = nameserver()
    lab.isolate()
    if not at.startswith("127.") and at != "::1":
        lab.space.run("ip", "addr", "add", at, "dev", "lo", *(["nodad"] if ":" in at else []))
    edges = {f"e{i}.{DOMAIN}": [lab.ip(i)] for i in (1, 2)}
    services = {f"_sip._{tp}.{CLUSTER}": [(1, 1, 5060, n) for n in edges] for tp in ("udp", "tcp")}
    sock = lab.space.socket(socket.SOCK_DGRAM, socket.AF_INET6 if ":" in at else socket.AF_INET)
    sock.bind((at, 53))
    lab.keep(sock)
    return Names(sock, {**edges, CLUSTER: [a for v in edges.values() for a in v], DOMAIN: [lab.ip(100)]}, services)


def start(lab, script, host, domain=""):
    text = COMMON.format(ip=lab.ip(host), aliases=f'alias="{domain}"' if domain else "",
                         fr=1500 if script is HOME else 8000) + script.format(home=lab.ip(100))
    return run(lab, text, host)


def peer(lab, host, domain, other, other_host):
    lab.write("kamailio-tls.cfg", TLS.format(dir=lab.dir, name=domain))
    return run(lab, PEER.format(ip=lab.ip(host), domain=domain, other=other, other_ip=lab.ip(other_host), dir=lab.dir),
               host)


def border(lab, host, name, path, edge, home_host):
    lab.write("kamailio-tls.cfg", TLS.format(dir=lab.dir, name=name))
    return run(lab, BORDER.format(ip=lab.ip(host), domain=name, dir=lab.dir, cluster=CLUSTER, home=DOMAIN,
                                  edge_ip=lab.ip(edge), home_ip=lab.ip(home_host),
                                  path=ADD_PATH.format(name=name) if path else ""), host)


def run(lab, text, host):
    path = lab.write("kamailio.cfg", text)
    p = lab.start([need("kamailio"), "-f", path, "-DD", "-E", "-m", "32", "-M", "4", "-Y", lab.dir,
                   "-P", lab.dir / "kamailio.pid"], name="kamailio")
    ready(lab, p, host)
    return p


def ready(lab, p, host):
    """Its sockets are bound before it forks its children: each transport is asked until a child answers."""
    end = time.monotonic() + DEADLINE
    for transport in ("UDP", "TCP"):
        n = 0
        while not answers(lab, host, transport, n):
            assert p.running(), "kamailio ended:\n" + p.said()
            assert time.monotonic() < end, f"kamailio does not answer over {transport}:\n" + p.said()
            n += 1


def answers(lab, host, transport, n):
    """Whether the n-th OPTIONS is answered 200 within a fifth of a second."""
    sock = lab.socket(socket.SOCK_STREAM if transport == "TCP" else socket.SOCK_DGRAM, host=241)
    sock.settimeout(0.2)
    try:
        if transport == "TCP":  # not UDP: there a refusal would be known, and asking again be without pause
            sock.connect((lab.ip(host), 5060))
        sock.sendto(options(sock, f"sip:{lab.ip(host)}", transport, branch=f"ready{transport}{n}"),
                    (lab.ip(host), 5060))
        return status(sock.recv(65536)) == 200
    except (TimeoutError, ConnectionError):
        return False
    finally:
        sock.close()
