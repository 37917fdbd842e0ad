"""TLS: the whole chain by certificates alone, foreign clients, certificates that change, resumption."""
from belay import CLUSTER, DOMAIN


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
