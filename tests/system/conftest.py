import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import belay  # noqa: E402

_net = {}


def pytest_configure(config):
    _net["x"], _net["lock"] = belay.own_network()


def pytest_collection_modifyitems(items):
    for i, item in enumerate(items):
        item.net = f"127.{_net['x']}.{i % 250 + 1}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    lab = item.funcargs.get("lab") if hasattr(item, "funcargs") else None
    if call.when == "call" and report.failed and lab:
        report.sections.append(("processes", lab.story()))


@pytest.fixture
def lab(request, tmp_path):
    """The test's own network, folder and processes, which end with it."""
    for program in (belay.BELAY, belay.BELAYD):
        if not Path(program).exists():
            pytest.fail(f"{program} is not built: cmake --preset dev && cmake --build build/dev", pytrace=False)
    lab = belay.Lab(tmp_path, request.node.net)
    yield lab
    lab.end()


@pytest.fixture(params=["udp", "tcp"])
def transport(request):
    return request.param


@pytest.fixture(params=[1, 2], ids=["1worker", "2workers"])
def workers(request):
    return request.param
