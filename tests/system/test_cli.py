"""belay as a program: its version, and what it says when it cannot begin."""
import re

import pytest

from belay import BELAY, BELAYD, ROOT

pytestmark = pytest.mark.one_worker("no node runs")

OPTIONS = ("OPTIONS sip:h SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\n"
           "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nl: 0\r\n\r\n")


def test_both_programs_have_the_version_of_the_project(lab):
    version = re.search(r'BL_VERSION "(.*)"', (ROOT / "src/base/version.h").read_text()).group(1)
    assert lab.run([BELAY, "--version"]) == (0, f"belay {version}")
    assert lab.run([BELAYD, "--version"]) == (0, f"belayd {version}")


def test_a_verb_that_is_none(lab):
    rc, said = lab.run([BELAY, "prase"])
    assert rc == 2 and 'no verb "prase"' in said and "parse" in said.split("usage", 1)[1]
    rc, said = lab.run([BELAY])
    assert rc == 2 and "usage" in said


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["datagram", "stream"])
def test_parse_answers_1_only_for_what_it_read(lab, stream):
    good = lab.write("good", OPTIONS)
    bad = lab.write("bad", OPTIONS.replace("CSeq", "CSkip"))
    missing = lab.dir / "missing"
    assert lab.run([BELAY, "parse", *stream, good])[0] == 0
    assert lab.run([BELAY, "parse", *stream, bad])[0] == 1
    rc, said = lab.run([BELAY, "parse", *stream, missing])
    assert rc == 2 and f"cannot read {missing}: No such file" in said and "name a file" in said
    rc, said = lab.run([BELAY, "parse", *stream, lab.dir])
    assert rc == 2 and f"cannot read {lab.dir}: Is a directory" in said


def test_parse_of_nothing_says_so(lab):
    empty = lab.write("empty", "")
    rc, said = lab.run([BELAY, "parse", empty])
    assert rc == 1 and f"{empty} is empty" in said and '"discard"' in said
    rc, said = lab.run([BELAY, "parse", "--stream", empty])
    assert rc == 0 and said == f"belay parse: {empty} is empty: there is no message in it"
