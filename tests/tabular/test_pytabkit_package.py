"""RealMLP beside the package pytabkit: from its initial parameters and in its order of rows, the same losses."""

import logging

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")
pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("pytabkit", reason="needs pytabkit[models]")

from fastmlp import _core, schedules  # noqa: E402
from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, realmlp_network  # noqa: E402
from fastmlp.tabular.estimator import Goal  # noqa: E402
from fastmlp.tabular.network import TabularNetwork  # noqa: E402
from fastmlp.tabular.preparation import PreparedTable  # noqa: E402
from fastmlp.tabular.training import new_trainer  # noqa: E402

ROWS, NUMBERS, CLASSES, EPOCHS, BATCH_SIZE = 400, 3, 3, 12, 64
FOLLOWED = 40  # updates; later rounding errors grow, which the learning rate of the middle of a training hastens


class Recorded:
    """A training by pytabkit: the parameters before it, and for each update the rows, their targets and the loss."""

    def __init__(self, monkeypatch, variant, X, y, **settings):
        from pytabkit.models.sklearn import sklearn_interfaces
        from pytabkit.models.training.lightning_modules import TabNNModule

        self.parameters, self.X, self.y, self.losses = {}, [], [], []
        training_step = TabNNModule.training_step

        def recording(module, batch, index):
            if not self.parameters:
                for name, array in module.model.named_parameters():
                    of_kind = self.parameters.setdefault(name.split(".")[-1], [])
                    of_kind.append(array.detach().clone().numpy()[0])  # of the only network
            loss = training_step(module, batch, index)
            self.X.append(batch["x_cont"][0].numpy())
            self.y.append(batch["y"][0].numpy())
            self.losses.append(loss.item())
            return loss

        monkeypatch.setattr(TabNNModule, "training_step", recording)
        task = "Classifier" if y.dtype.kind == "i" else "Regressor"
        kind = getattr(sklearn_interfaces, f"RealMLP_{variant.replace('-', '_')}_{task}")
        kind(device="cpu", random_state=0, n_threads=1, **settings).fit(X[:ROWS], y[:ROWS], X[ROWS:], y[ROWS:])

    def by_our_names(self):
        theirs, named = self.parameters, {}
        if "weight_1" in theirs:
            (frequencies,), (phases,) = theirs["weight_1"], theirs["bias_1"]
            (weights,), (biases,) = theirs["weight_2"], theirs["bias_2"]
            named["numbers.frequencies"], named["numbers.phases"] = frequencies[:, 0], phases[:, 0]
            named["numbers.weights"], named["numbers.biases"] = weights.reshape(NUMBERS, -1), biases[:, 0]
        named["hidden.0.input_factors"] = theirs["scale"][0]
        weights = [array for array in theirs["weight"] if len(array) > 1]
        shares = [array for array in theirs["weight"] if len(array) == 1]
        layers = [f"hidden.{i}" for i in range(len(weights) - 1)] + ["heads.0"]
        for layer, of_layer, (biases,) in zip(layers, weights, theirs["bias"], strict=True):
            named[f"{layer}.weights"], named[f"{layer}.biases"] = of_layer / np.sqrt(len(of_layer)), biases
        named |= {f"{layer}.activation_shares": array for layer, array in zip(layers, shares)}
        return named


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classifies", [True, False], ids=["classes", "targets"])
@pytest.mark.parametrize("variant", ["TD-S", "TD"])
def test_losses_are_those_of_the_package(variant, classifies, monkeypatch):
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    X = np.random.default_rng(0).normal(size=(500, NUMBERS)).astype(np.float32)
    labels = ((X[:, 0] * X[:, 1] > 0) + (X[:, 2] > 0.5).astype(int)) % CLASSES
    y = labels if classifies else X[:, 0] * X[:, 1] + np.sin(3 * X[:, 2])
    settings = {"n_epochs": EPOCHS, "batch_size": BATCH_SIZE, "hidden_sizes": [32, 32, 32]}
    settings |= {"p_drop": 0.0} if variant == "TD" else {}
    theirs = Recorded(monkeypatch, variant, X, y, **settings)

    ours = (RealMLPClassifier if classifies else RealMLPRegressor)(variant=variant, **settings)
    resolved, rows, targets = ours._resolved(), np.concatenate(theirs.X), np.concatenate(theirs.y)
    if variant == "TD":  # pytabkit prepares numbers in the network there, in TD-S beforehand
        rows = ours._new_preparation(resolved, 0).fit(X[:ROWS]).transform(rows).numbers
    if not classifies:
        goal, targets = Goal("squared_error", {}, 1, "rmse", None, 2.0), (targets - y[:ROWS].mean()) / y[:ROWS].std()
    else:
        goal = Goal("cross_entropy", {"label_smoothing": resolved["ls_eps"]}, CLASSES, "error", None)
        targets = targets.argmax(axis=1) if targets.shape[1] > 1 else targets[:, 0]
    table = PreparedTable(rows, np.zeros((len(rows), 0)), np.zeros((len(rows), 0), np.int32))
    network = TabularNetwork(realmlp_network.architecture(resolved, table, (), goal))
    network.parameters = theirs.by_our_names()
    how = ours._training(network, resolved, goal, 0)
    trainer, labelled, losses = new_trainer(network, how), network.table(table, targets), []
    for update in range(FOLLOWED):
        progress = np.array([update / len(theirs.losses)])
        of_schedules = (how.learning_rate_schedule, how.weight_decay_schedule, how.dropout_schedule)
        schedule = _core.UpdateSchedule(*(schedules.factors(each, progress) for each in of_schedules))
        plan = _core.EpochPlan(np.arange(BATCH_SIZE) + BATCH_SIZE * update, BATCH_SIZE)
        sums = _core.LossSum()
        trainer.run(labelled, plan, _core.UpdateSettings(how.learning_rate, schedule=schedule), 0, sums, 1, 60.0)
        losses.append(goal.gradient_factor * sums.loss / BATCH_SIZE)
    np.testing.assert_allclose(losses, theirs.losses[:FOLLOWED], rtol=2e-5)
    assert losses[-1] < 0.8 * losses[0]
