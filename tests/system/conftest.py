import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import belay  # noqa: E402

_net = {}


def pytest_configure(config):
    config.addinivalue_line("markers", "one_worker(why): its nodes run with one worker only")
    _net["x"], _net["lock"] = belay.own_network()


def pytest_collection_modifyitems(items):
    for i, item in enumerate(items):
        item.net = f"127.{_net['x']}.{i % 250 + 1}"


def pytest_generate_tests(metafunc):
    """Every test of nodes runs with one worker and with two, unless it says why that makes no difference."""
    if "workers" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("one_worker")
        assert mark is None or mark.args, f"{metafunc.definition.name}: one_worker wants a reason"
        if mark:
            metafunc.parametrize("workers", [1], ids=[""])
        else:
            metafunc.parametrize("workers", [1, 2], ids=["1worker", "2workers"])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    lab = item.funcargs.get("lab") if hasattr(item, "funcargs") else None
    if call.when == "call" and report.failed and lab:
        report.sections.append(("processes", lab.story()))


@pytest.fixture
def lab(request, tmp_path, workers):
    """The test's own network, folder and processes, which end with it."""
    for program in (belay.BELAY, belay.BELAYD):
        if not Path(program).exists():
            pytest.fail(f"{program} is not built: cmake --preset dev && cmake --build build/dev", pytrace=False)
    lab = belay.Lab(tmp_path, request.node.net, workers)
    yield lab
    lab.end()


@pytest.fixture(params=["udp", "tcp"])
def transport(request):
    return request.param
