"""The examples run as they stand, on their own addresses in a network of their own, and are as short as promised."""
import pytest

from belay import BELAYD, CLUSTER, DOMAIN, ROOT, password

pytestmark = pytest.mark.one_worker("the examples run as they are: a worker per core")

EXAMPLES = ROOT / "examples"
SIZES = {"single": 10, "e1": 12, "e2": 12, "e3": 12, "home": 12, "both": 12}
EDGES = {"e1": "127.0.1.1", "e2": "127.0.1.2", "e3": "127.0.1.3"}
HOME = "127.0.2.1"


def start(lab, *names):
    lab.isolate()
    nodes = {}
    for name in names:
        roles = 2 if name == "both" else 1
        nodes[name] = lab.start([BELAYD, "-c", EXAMPLES / f"{name}.yaml"], name=name)
        nodes[name].until(lambda n=nodes[name]: sum("event=ready" in line for line in n.lines) >= roles, "event=ready")
    return nodes


def call(lab, maps, edges):
    """bob registers, joe calls, and after the BYE both are content."""
    flows = min(edges, 2) or 1
    phones = []
    for user, host in (("bob", "127.0.9.2"), ("joe", "127.0.9.1")):
        p = lab.phone(user, f"--bind={host}", host=1, maps=maps)
        p.wait("registered", flows)
        phones.append(p)
    bob, joe = phones
    joe.say(f"call sip:bob@{DOMAIN}")
    bob.wait("acked")
    joe.say("bye")
    bob.wait("request", method="BYE")
    assert joe.wait("answered", method="BYE")["status"] == 200


def test_there_is_no_example_that_is_not_tested():
    assert {p.stem for p in EXAMPLES.glob("*.yaml")} == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_size_and_check(lab, name):
    lines = [line for line in (EXAMPLES / f"{name}.yaml").read_text().splitlines()
             if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) <= SIZES[name]
    assert max(map(len, lines)) <= 120
    rc, said = lab.run([BELAYD, "--check", "-c", EXAMPLES / f"{name}.yaml"])
    assert rc == 0 and "good" in said


def test_single(lab, transport):
    start(lab, "single")
    call(lab, [f"--map={DOMAIN}={transport}:{HOME}:5060"], 0)


def test_both(lab):
    start(lab, "both")
    call(lab, [f"--map={DOMAIN}=udp:{HOME}:5060", f"--map={CLUSTER}=udp:{EDGES['e1']}:5060"], 1)


def test_cluster(lab, transport):
    start(lab, "home", *EDGES)
    call(lab, [f"--map={DOMAIN}={transport}:{HOME}:5060",
               *(f"--map={CLUSTER}={transport}:{a}:5060" for a in EDGES.values())], 3)


def test_the_users_have_the_passwords_that_the_file_says():
    text = (EXAMPLES / "users").read_text()
    for user in ("joe", "bob"):
        assert f'"{password(user)}"' in text
