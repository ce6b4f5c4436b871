"""What every test shares: strict floating point, and one run per instruction set of this machine."""

import numpy as np
import pytest


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
