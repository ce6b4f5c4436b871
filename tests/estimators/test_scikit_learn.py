"""scikit-learn's own tests: those of its MLP with our classes in their place, and check_estimator."""

import os
import pathlib
import subprocess
import sys

import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.9", reason="runs scikit-learn 1.9's own tests")

from fastmlp import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn.utils.estimator_checks import (  # noqa: E402
    check_sample_weight_equivalence_on_dense_data,
    check_sample_weight_equivalence_on_sparse_data,
    parametrize_with_checks,
)

PRIVATE = {"test_gradient": "calls _loss_grad_lbfgs with arrays for scikit-learn's intermediate results"}

CONFTEST = """
import pytest

@pytest.fixture
def global_random_seed():  # scikit-learn's own conftest draws it
    return 42
"""


def test_scikit_learns_own_tests_pass(tmp_path):
    theirs = pathlib.Path(sklearn.__file__).parent / "neural_network" / "tests" / "test_mlp.py"
    if not theirs.exists():
        pytest.skip("this scikit-learn comes without its tests")
    imports = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
    text = theirs.read_text(encoding="utf-8")
    assert text.count(imports) == 1
    (tmp_path / "test_mlp.py").write_text(text.replace(imports, "from fastmlp import MLPClassifier, MLPRegressor"))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    deselected = [f"--deselect=test_mlp.py::{name}" for name in PRIVATE]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_mlp.py", *deselected],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    assert " passed" in run.stdout and f"{len(PRIVATE)} deselected" in run.stdout


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # their data of infinite values, before they are rejected
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_check_estimator(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("Mlp", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    "check", [check_sample_weight_equivalence_on_dense_data, check_sample_weight_equivalence_on_sparse_data]
)
def test_a_weight_is_so_many_rows_where_all_rows_are_seen_at_once(Mlp, check):
    """Batches cut weighted and repeated rows differently; scikit-learn excuses its own from it."""
    for alpha in (1e-4, 1.0):
        check(Mlp.__name__, Mlp(solver="lbfgs", alpha=alpha, random_state=0))
