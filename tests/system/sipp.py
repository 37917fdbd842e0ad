"""SIPp as a phone: scenarios made of steps. One SIPp is one phone on one flow: it registers, then calls or is called.

SIPp finds its call by Call-ID and ignores what stands before `///` in it, so registration and call of one phone, and
both phones of one call, share a scenario: the caller's and the callee's `-cid_str` are equal.
"""
import socket
from xml.sax.saxutils import escape

from belay import CLUSTER, DOMAIN, message, need, password  # noqa: F401

HOME = ", digest: md5"  # SIPp knows no other digest and takes the first challenge, whatever it is
SDP = """v=0
o=- 0 0 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""


def send(text, retrans=True):
    lines = "\n".join("    " + line for line in text.strip().splitlines())
    body = "" if "\n\n" in text.strip() else "    Content-Length: 0\n\n"
    return f'  <send{" retrans=" + chr(34) + "500" + chr(34) if retrans else ""}><![CDATA[\n{lines}\n{body}  ]]></send>\n'


def recv(what, **attributes):
    kind = "response" if what.isdigit() else "request"
    more = "".join(f' {k}="{escape(v)}"' for k, v in attributes.items())
    return f'  <recv {kind}="{what}"{more}/>\n'


def _register(user, cseq, authentication=""):
    return send(f"""\
REGISTER sip:{DOMAIN} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:{user}@{DOMAIN}>;tag=reg
To: <sip:{user}@{DOMAIN}>
Call-ID: reg-{user}///[call_id]
CSeq: {cseq} REGISTER
Contact: <sip:{user}@[local_ip]:[local_port];transport=[transport]>
Expires: 600{authentication}""")


def register(user):
    auth = f"\n[authentication username={user} password={password(user)}]"
    return (_register(user, 1) + recv("100", optional="true") + recv("401", auth="true") + _register(user, 2, auth)
            + recv("100", optional="true") + recv("200"))


# For UDP between proxies too large by far: RFC 3261 section 18.1.1.
LARGE = SDP + "".join(f"a=filler:{i} {'x' * 90}\n" for i in range(30))


def _in_dialog(method, user, cseq, role, body=""):
    ours = f"<sip:{user}@{DOMAIN}>;tag={user}-[call_number]"
    theirs = "[$peer]"
    sdp = f"\nContent-Type: application/sdp\nContent-Length: [len]\n\n{body}" if body else ""
    return send(f"""\
{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
[routes]
From: {ours}
To: {theirs}
Call-ID: call///[call_id]
CSeq: {cseq} {method}
Contact: <sip:{user}@[local_ip]:[local_port];transport=[transport]>{sdp}""", retrans=method != "ACK")


def take(header):
    """Remembers a header's value as the far end's name."""
    return (f'<action><ereg regexp=".*" search_in="hdr" header="{header}:" check_it="true" assign_to="peer"/>'
            "</action>")


def recv_taking(what, header, **attributes):
    return recv(what, **attributes).replace("/>", ">" + take(header) + "</recv>")


def invite(user, to, sdp=SDP):
    return send(f"""\
INVITE sip:{to}@{DOMAIN} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:{user}@{DOMAIN}>;tag={user}-[call_number]
To: <sip:{to}@{DOMAIN}>
Call-ID: call///[call_id]
CSeq: 1 INVITE
Contact: <sip:{user}@[local_ip]:[local_port];transport=[transport]>
Content-Type: application/sdp
Content-Length: [len]

{sdp}""")


def call(user, to, sdp=SDP):
    """INVITE to ACK."""
    return (invite(user, to, sdp) + recv("100", optional="true") + recv("180", optional="true")
            + recv("183", optional="true") + recv_taking("200", "To", rrs="true")
            + _in_dialog("ACK", user, 1, "uac"))


def answer(user):
    """The far end's INVITE to its ACK."""
    head = """\
SIP/2.0 {}
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=%s-[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:%s@[local_ip]:[local_port];transport=[transport]>""" % (user, user)
    return (recv_taking("INVITE", "From", rrs="true") + send(head.format("180 Ringing"), retrans=False)
            + send(head.format("200 OK") + f"\nContent-Type: application/sdp\nContent-Length: [len]\n\n{SDP}")
            + recv("ACK"))


def invite_again(user, cseq, sdp):
    """Inside the call, INVITE to ACK."""
    return (_in_dialog("INVITE", user, cseq, "uac", sdp) + recv("100", optional="true") + recv("200")
            + _in_dialog("ACK", user, cseq, "uac"))


def answer_again(user):
    return recv("INVITE") + send(f"""\
SIP/2.0 200 OK
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:{user}@[local_ip]:[local_port];transport=[transport]>
Content-Type: application/sdp
Content-Length: [len]

{SDP}""") + recv("ACK")


def hang_up(user, cseq=2):
    return _in_dialog("BYE", user, cseq, "uac") + recv("100", optional="true") + recv("200")


def is_hung_up():
    return recv("BYE") + send("""\
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]""", retrans=False)


def told():
    """Waits for Sipp.tell()."""
    return recv("OPTIONS")


class Sipp:
    """SIPp running these steps against the proxy at `to`."""

    def __init__(self, lab, name, steps, to, host, transport="udp", port=5070):
        self.lab, self.at, self.transport = lab, (lab.ip(host), port), transport
        text = "".join(steps)
        if "$peer" not in text:
            text = text.replace("<action>", "<!-- ").replace("</action>", " -->") if "peer" in text else text
        path = lab.write(f"{name}.xml", f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n{text}'
                         "</scenario>\n")
        self.log = lab.dir / f"{name}.log"
        self.process = lab.start(
            [need("sipp"), to, "-sf", path, "-m", "1", "-l", "1", "-nostdin", "-i", self.at[0], "-p", str(port), "-mi",
             self.at[0], "-t", {"udp": "u1", "tcp": "t1"}[transport], "-cid_str", "%u@call",
             "-auth_uri", DOMAIN, "-trace_msg", "-message_file",
             self.log, "-trace_err", "-error_file", lab.dir / f"{name}.err", "-timeout", "40", "-timeout_error"],
            name=f"sipp-{name}", env={"TERM": "dumb"})

    def saw(self, *words, timeout=20):
        """Waits until one of its messages has all these words."""
        def found():
            text = self.log.read_text(errors="replace") if self.log.exists() else ""
            return [m for m in text.split("-----------------------------------------------") if all(w in m for w in words)]
        return self.process.until(found, f"message with {words}", timeout)

    def tell(self):
        """Says `go on` to told(): a request of our own to its port with the Call-ID that it has."""
        kind = socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM
        s = self.lab.socket(kind)
        s.connect(self.at)
        s.sendall(message(f"OPTIONS sip:{self.at[0]}:{self.at[1]} SIP/2.0",
                          Via=f"SIP/2.0/{self.transport.upper()} {s.getsockname()[0]};branch=z9hG4bKtell",
                          From="<sip:test>;tag=t", To="<sip:sipp>", Call_ID="tell///1@call", CSeq="1 OPTIONS",
                          Max_Forwards="1"))

    def done(self, timeout=45):
        """It went through its scenario."""
        rc = self.process.finish(timeout)
        err = self.lab.dir / f"{self.process.name[5:]}.err"
        assert rc == 0, (f"{self.process.name} ended with {rc}\n" + (err.read_text() if err.exists() else "")
                         + (self.log.read_text(errors="replace") if self.log.exists() else ""))
