"""sipsak: the questions that an administrator asks."""
import re

from belay import CLUSTER, DOMAIN, need, password


def sipsak(lab, *args):
    # -H: else it wants to resolve the machine's own name, which a bare system knows nothing about
    return lab.run([need("sipsak"), "-H", lab.ip(201), *args])


def test_options_to_each_node(lab):
    lab.cluster(edges=1)
    for host in (1, 100):
        rc, said = sipsak(lab, "-vv", "-s", f"sip:{lab.ip(host)}:5060", "-k", lab.ip(201))
        assert rc == 0 and "SIP/2.0 200" in said, said


def test_options_over_tcp(lab):
    lab.cluster(edges=1)
    rc, said = sipsak(lab, "-E", "tcp", "-vv", "-s", f"sip:{lab.ip(1)}:5060")
    assert rc == 0 and "SIP/2.0 200" in said, said


def test_register_through_the_edge(lab, workers):
    lab.cluster(edges=1, workers=workers, home=", digest: md5")
    rc, said = sipsak(lab, "-U", "-vvv", "-p", f"{lab.ip(1)}:5060", "-s", f"sip:joe@{DOMAIN}", "-C",
                      f"sip:joe@{lab.ip(201)}:5075", "-u", "joe", "-a", password("joe"), "-x", "600")
    assert rc == 0, said
    assert re.search(rf"Contact: <sip:joe@{lab.ip(201)}:5075", said)


def test_a_wrong_password_fails(lab):
    lab.cluster(edges=1, home=", digest: md5")
    rc, said = sipsak(lab, "-U", "-vv", "-p", f"{lab.ip(1)}:5060", "-s", f"sip:joe@{DOMAIN}", "-C",
                      f"sip:joe@{lab.ip(201)}:5075", "-u", "joe", "-a", "wrong")
    assert rc != 0, said


def test_the_home_redirects_to_the_edges(lab):
    """What a phone that knows the home only is told; sipsak shows it."""
    lab.cluster(edges=1)
    rc, said = sipsak(lab, "-U", "-i", "-d", "-vvv", "-p", f"{lab.ip(100)}:5060", "-s", f"sip:joe@{DOMAIN}", "-C",
                      f"sip:joe@{lab.ip(201)}:5075", "-u", "joe", "-a", password("joe"))
    assert "SIP/2.0 300" in said and f"Contact: <sip:{CLUSTER};lr>" in said, (rc, said)


def test_flood_of_options_is_answered(lab, workers):
    """Two hundred trace-less OPTIONS, one after another, each answered (-N would end it at the first that is not)."""
    lab.cluster(edges=1, workers=workers)
    rc, said = sipsak(lab, "-s", f"sip:{lab.ip(1)}:5060", "-e", "200", "-v")
    assert rc == 0, said
