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


def test_register_through_the_edge(lab):
    lab.cluster(edges=1, home=", digest: md5")
    rc, said = sipsak(lab, "-U", "-vvv", "-p", f"{lab.ip(1)}:5060", "-s", f"sip:joe@{DOMAIN}", "-C",
                      f"sip:joe@{lab.ip(201)}:5075", "-u", "joe", "-a", password("joe"), "-x", "600")
    assert rc == 0, said
    assert re.search(rf"Contact: <sip:joe@{lab.ip(201)}:5075", said)


def test_a_wrong_password_fails(lab):
    lab.cluster(edges=1, home=", digest: md5")
    rc, said = sipsak(lab, "-U", "-vv", "-p", f"{lab.ip(1)}:5060", "-s", f"sip:joe@{DOMAIN}", "-C",
                      f"sip:joe@{lab.ip(201)}:5075", "-u", "joe", "-a", "wrong")
    assert rc != 0, said


def at_home(lab, *args):
    lab.cluster(edges=1, home=", digest: md5")
    return sipsak(lab, "-U", "-i", *args, "-vvv", "-p", f"{lab.ip(100)}:5060", "-s", f"sip:joe@{DOMAIN}", "-C",
                  f"sip:joe@{lab.ip(201)}:5075", "-u", "joe", "-a", password("joe"))


def test_the_home_redirects_to_the_edges(lab):
    """What a phone that knows the home only is told; sipsak shows it (-d: without minding redirects)."""
    rc, said = at_home(lab, "-d")
    assert rc == 1 and "SIP/2.0 300" in said and f"Contact: <sip:{CLUSTER};lr>" in said, (rc, said)


def test_a_300_is_too_much_for_it(lab):
    """sipsak follows 301 and 302 and no other redirect: at the home's 300 it ends, with the answer shown, and asks no
    edge. Who registers with it names an edge (above). Its Request-URI would become the Contact's if it did follow."""
    rc, said = at_home(lab)
    assert rc == 2 and "received redirect" in said and "cannot handle this redirect" in said, (rc, said)
    assert f"Contact: <sip:{CLUSTER};lr>" in said and "CSeq: 2 REGISTER" not in said
    assert any("remote=127.0.0.1:" in line for line in lab.nodes["h1"].lines)  # what it sends from
    assert not any("remote=127.0.0.1:" in line for line in lab.nodes["e1"].lines)


def test_flood_of_options_is_answered(lab):
    """Two hundred trace-less OPTIONS, one after another, each answered (-N would end it at the first that is not)."""
    lab.cluster(edges=1)
    rc, said = sipsak(lab, "-s", f"sip:{lab.ip(1)}:5060", "-e", "200", "-v")
    assert rc == 0, said
