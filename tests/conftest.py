"""What every test shares: strict floating point, one run per instruction set, and neither network nor user's cache."""

import socket
import sys
import tempfile

import numpy as np
import pytest

RULE = "tests must not use the network: patch load_mnist, or set FASTMLP_DATA"
DEAD_PROXY = ("127.0.0.1", 1)  # nothing listens on this port: downloads in subprocesses fail at once
attempts = []  # to use the network, of the test that runs


class NetworkIsForbidden(RuntimeError):
    pass


def pytest_configure(config):
    """Subprocesses inherit the environment."""
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    cache = tempfile.TemporaryDirectory(prefix="fastmlp-tests-")
    config.add_cleanup(cache.cleanup)
    patch.setenv("XDG_CACHE_HOME", cache.name)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        patch.setenv(name, "http://{}:{}".format(*DEAD_PROXY))
    for name in ("no_proxy", "NO_PROXY"):
        patch.setenv(name, "localhost,127.0.0.1,::1")
    sys.addaudithook(forbid_network)


def forbid_network(event, arguments):
    """Called by Python before each such event; an error that it raises is the event's."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        connection, address = arguments
        if address is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
            return
        allowed = is_local(address[0]) and address[:2] != DEAD_PROXY
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        address = arguments[0]
        allowed = is_local(address)
    else:
        return
    if not allowed:
        attempts.append(f"{event} {address}")
        raise NetworkIsForbidden(f"{attempts[-1]}: {RULE}")


def is_local(host):
    host = host.decode() if isinstance(host, bytes) else host
    return host in (None, "", "localhost", "::1", "0.0.0.0", "::") or host.startswith("127.")


@pytest.fixture(autouse=True)
def network_attempts():
    """Fails a test that has tried to use the network, even if the code under test has caught the error."""
    yield attempts
    found = attempts.copy()
    attempts.clear()
    assert not found, f"{', '.join(found)}: {RULE}"


def pytest_generate_tests(metafunc):
    if "isa" in metafunc.fixturenames:
        from fastmlp._core import testing  # here, so that the oracle's tests run without the package

        metafunc.parametrize("isa", testing.available_isas(), indirect=True)


@pytest.fixture
def isa(request):
    """Networks and ops created in the test use this instruction set."""
    from fastmlp._core import testing

    default = testing.current_isa()
    testing.use_isa(request.param)
    yield request.param
    testing.use_isa(default)


@pytest.fixture(autouse=True)
def strict_floating_point():
    """NumPy raises where it would warn. Underflow stays silent: exp(-1e4) is 0 and right."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


@pytest.fixture(params=["bfloat16", "bfloat16_amx"])
def precision(request):
    return request.param


@pytest.fixture(params=["native", "emulated"])
def arithmetic(request, isa):
    """Whether products of bfloat16 run on the processor's own instructions, where it has them."""
    from fastmlp._core import testing

    testing.emulate_bfloat16(request.param == "emulated")
    yield request.param
    testing.emulate_bfloat16(False)
