"""Every public object is copied, pickled and sent to a worker process, or says why not."""

import copy
import inspect
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import fastmlp
import numpy as np
import pytest
from fastmlp import MLPClassifier, MLPRegressor, Network, Trainer, callbacks, distributed, streaming
from problems import assert_equal_bits, parameters

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


def network(dtype="float32"):
    return Network((4, 5, 2), dtype=dtype, seed=1)


def fitted_trainer(**settings):
    trainer = Trainer(network(), batch_size=16, **settings)
    trainer.fit(X, Y, epochs=2, validation_data=(X, Y))
    return trainer


def epoch_info():
    infos = []
    Trainer(network()).fit(X, Y, epochs=1, callbacks=[infos.append])
    return infos[0]


def divergence():
    with pytest.raises(fastmlp.DivergenceError) as caught:
        Trainer(Network((4, 1), loss="squared_error"), learning_rate=1e30).fit(X, X[:, :1], epochs=9)
    return caught.value


def fitted(Mlp, X=X, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that three epochs are few
        return Mlp(hidden_layer_sizes=(5,), max_iter=3, random_state=0, **settings).fit(X, Y)


def behaviour(thing):
    """What an object does, as arrays and numbers."""
    if isinstance(thing, Network):
        return [*parameters(thing), thing.predict(X)]
    if isinstance(thing, fastmlp.Ensemble):
        return [
            *thing.forward(X, return_std=True),
            *(array for member in thing.members for array in parameters(member)),
        ]
    if isinstance(thing, Trainer):
        thing.fit(X, Y, epochs=2)
        return [*parameters(thing.network), np.array(thing.history.loss)]
    if isinstance(thing, fastmlp.History):
        return [np.array(thing[name]) for name in thing]
    if isinstance(thing, fastmlp.history.EpochInfo):
        return [
            np.array([thing.epoch, thing.epochs, thing.begin]),
            *behaviour(thing.network),
            *behaviour(thing.history),
        ]
    if isinstance(thing, (MLPClassifier, MLPRegressor)):
        predicted = [thing.predict(X)] if hasattr(thing, "coefs_") else []
        if thing.early_stopping:
            thing.set_params(early_stopping=False)
        thing.partial_fit(X, Y, **({"classes": [0, 1]} if isinstance(thing, MLPClassifier) else {}))
        return [*predicted, *thing.coefs_, thing.predict(X), np.array(thing.history_.loss)]
    if isinstance(thing, streaming.Stream):
        trainer = Trainer(network())
        trainer.fit(thing, None, epochs=2)
        return parameters(trainer.network)
    if isinstance(thing, fastmlp.history.Evaluation):
        return [np.array(thing)]
    if isinstance(thing, fastmlp.history.Gradients):
        return [np.array(thing[:2]), *thing.weights, *thing.biases]
    if isinstance(thing, fastmlp.schedules.Schedule):
        return [thing(np.linspace(0, 0.9, 10))]
    if isinstance(thing, Exception):
        return [np.array([ord(letter) for letter in f"{thing}{sorted(vars(thing).items())}"])]
    if isinstance(thing, (callbacks.LearningRateSchedule, callbacks.ReduceOnPlateau)):
        trainer = Trainer(network())
        trainer.fit(X, Y, epochs=3, callbacks=[thing])
        return [np.array(trainer.learning_rate)]
    assert isinstance(thing, (callbacks.EarlyStopping, callbacks.Checkpoint))
    trainer = Trainer(network())
    return [np.array(trainer.fit(X, Y, epochs=9, callbacks=[thing]).loss)]


def rate(epochs):
    return 0.1 / (epochs + 1)


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    np.save(folder / "X.npy", X)
    stopping = callbacks.EarlyStopping("loss", patience=2, min_delta=9)
    Trainer(network()).fit(X, Y, epochs=1, callbacks=[stopping])
    best = callbacks.Checkpoint(folder / "a", best="loss")
    Trainer(network()).fit(X, Y, epochs=1, callbacks=[best])
    return {
        "plateau": callbacks.ReduceOnPlateau("loss", 0.5, patience=1, min_delta=9),
        "schedule": fastmlp.schedules.cosine(0.1),
        "network": network(),
        "network, float64": network("float64"),
        "network with settings": Network((4, 3, 2), activation="leaky_relu", activation_settings={"slope": 0.3}),
        "Ensemble": fastmlp.Ensemble([network(), Network((4, 2), seed=2)]),
        "trainer": fitted_trainer(),
        "trainer, adam": fitted_trainer(optimizer="adam", learning_rate=0.01),
        "trainer, unfitted": Trainer(network()),
        "History": fitted_trainer().history,
        "EpochInfo": epoch_info(),
        "Evaluation": network().evaluate(X, Y),
        "Gradients": network().loss_and_gradients(X, Y),
        "EarlyStopping": stopping,
        "Checkpoint": best,
        "LearningRateSchedule": callbacks.LearningRateSchedule(rate),
        "Stream": streaming.Stream([(X[:30], Y[:30]), (X[30:], Y[30:])]),
        "Stream.of_rows": streaming.Stream.of_rows(X, Y, chunk_rows=20),
        "Stream.of_rows of a file": streaming.Stream.of_rows(folder / "X.npy", Y, chunk_rows=20),
        "classifier": fitted(MLPClassifier),
        "classifier, unfitted": MLPClassifier(hidden_layer_sizes=(5,), random_state=0),
        "classifier, early stopping": fitted(MLPClassifier, early_stopping=True),
        "classifier, float32 and sgd": fitted(
            MLPClassifier, X.astype(np.float32), solver="sgd", nesterovs_momentum=False
        ),
        "regressor": fitted(MLPRegressor),
        "regressor, poisson": fitted(MLPRegressor, loss="poisson"),
        "DivergenceError": divergence(),
        "ModelFileError": fastmlp.ModelFileError("no model"),
        "DataFileError": fastmlp.DataFileError("no data"),
    }


def test_no_public_class_is_forgotten(things):
    public = {getattr(fastmlp, name) for name in fastmlp.__all__} | {streaming.Stream}
    for module in (callbacks, distributed, fastmlp.history):
        public |= {
            value for value in vars(module).values() if getattr(value, "__module__", "").startswith(module.__name__)
        }
    public = {value for value in public if inspect.isclass(value) and not value.__name__.startswith("_")}
    tested = {kind for thing in things.values() for kind in type(thing).__mro__}
    cannot = {distributed.Trainer, distributed.MPICommunicator}  # below
    assert public - tested - cannot == {distributed.Communicator}, "a protocol"


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda thing, protocol=protocol: pickle.loads(pickle.dumps(thing, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_a_copy_does_what_the_original_does(things, make):
    for name, thing in things.items():
        original = copy.deepcopy(thing)  # which behaviour may change
        copied = make(original)
        assert type(copied) is type(original) and (
            copied is not original or isinstance(thing, fastmlp.history.EpochInfo)
        )
        expected = behaviour(copy.deepcopy(original))
        assert_equal_bits(behaviour(copied), expected)
        if make is not copy.copy:  # nothing is shared
            assert_equal_bits(behaviour(original), expected)


def test_a_shallow_copy_of_a_trainer_trains_the_same_network_with_a_state_of_its_own():
    first = fitted_trainer(optimizer="adam", learning_rate=0.01)
    second = copy.copy(first)
    assert second.network is first.network
    second.fit(X, Y, epochs=3)
    assert len(first.history.loss) == 2 and len(second.history.loss) == 5
    expected = copy.deepcopy(fitted_trainer(optimizer="adam", learning_rate=0.01))
    expected.network.set_parameters(first.network.weights, first.network.biases)
    first.fit(X, Y, epochs=1)
    expected.fit(X, Y, epochs=1)
    assert_equal_bits(parameters(first.network), parameters(expected.network))


def test_what_cannot_be_copied_says_why():
    class Communicator:
        rank, size = 0, 1

        def allreduce_(self, buffer):
            pass

        def broadcast_(self, buffer):
            pass

    trainer = distributed.Trainer(network(), batch_size=8, communicator=Communicator())
    communicator = object.__new__(distributed.MPICommunicator)
    chunks = streaming.Stream((X, Y) for _ in range(2))
    for make in COPIES.values():
        with pytest.raises(TypeError, match="distributed Trainer cannot be pickled.* use save"):
            make(trainer)
        with pytest.raises(TypeError, match="MPICommunicator cannot be pickled or copied: it belongs to this process"):
            make(communicator)
        if make is not copy.copy:
            with pytest.raises(TypeError, match="generator"):
                make(chunks)


WORKER = """
import pickle, sys
sys.path[:] = {path!r}
import test_copies
things = pickle.load(open({file!r}, "rb"))
pickle.dump({{name: test_copies.behaviour(thing) for name, thing in things.items()}}, open({file!r}, "wb"))
"""


def test_another_process_continues(things, tmp_path):
    """As in a worker of joblib, which starts with nothing but what it gets."""
    sent = {name: copy.deepcopy(thing) for name, thing in things.items()}
    (tmp_path / "things").write_bytes(pickle.dumps(sent))
    expected = {name: behaviour(thing) for name, thing in sent.items()}
    path = [*sys.path, str(Path(__file__).parent)]
    code = WORKER.format(path=path, file=str(tmp_path / "things"))
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    found = pickle.loads((tmp_path / "things").read_bytes())
    assert found.keys() == expected.keys()
    for name in expected:
        assert_equal_bits(found[name], expected[name])


def test_loky_workers_return_what_they_get():
    joblib = pytest.importorskip("joblib")
    trainer, model = fitted_trainer(), fitted(MLPClassifier)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(_trained)(copy.deepcopy(trainer)) for _ in range(2))
    trainer.fit(X, Y, epochs=1)
    for each in found:
        assert_equal_bits(parameters(each.network), parameters(trainer.network))
    (predicted,) = joblib.Parallel(n_jobs=2)([joblib.delayed(model.predict)(X)])
    assert_equal_bits([predicted], [model.predict(X)])


def _trained(trainer):
    trainer.fit(X, Y, epochs=1)
    return trainer
