"""belay demo, small: nothing is lost."""
import re

import pytest

from belay import BELAY


@pytest.mark.parametrize("calls", [4])
@pytest.mark.parametrize("how", [["--transport", "udp"], ["--transport", "tcp"], ["--tls"]], ids=lambda how: how[-1].strip("-"))
def test_nothing_is_lost(lab, how, workers, calls):
    lab.isolate()
    page = lab.dir / "demo.html"
    rc, said = lab.run([BELAY, "demo", "--calls", calls, *how, "--workers", workers, "--page", page], timeout=90)
    assert rc == 0, said
    assert "nothing was lost" in said
    ladder = page.read_text()
    assert re.search(r"<svg\b", ladder)
    assert "binding: path" in ladder and "equivalent URI, binding:" in ladder
    kind = {"udp": "UDP", "tcp": "TCP", "tls": "TLS"}[how[-1].strip("-")]
    connections = re.findall(r"<tr><td>\d+<td>(\w+)<td>(\d+)<td>(\w+)<td>\d+<td>(\w+)", ladder)
    assert len(connections) > 10 and {c[3] for c in connections} == {kind}
    assert "not explained by their sender's log: 0" in said  # which connection, by which rank and binding
    assert re.search(r"e\d +──► home +INVITE .* #\d+ \[1 dialog\]", said)
    assert re.search(r"exact match [1-9]\d*, equivalent [1-9]", said)


@pytest.mark.one_worker("no node runs")
def test_usage(lab):
    rc, said = lab.run([BELAY, "demo", "--calls", "none"])
    assert rc == 2 and "--calls" in said
    rc, said = lab.run([BELAY, "demo", "--transport", "pigeon"])
    assert rc == 2 and "udp, tcp or tls" in said
