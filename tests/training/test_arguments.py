"""Arguments of networks, trainers and fits that are rejected, and in which words."""

import functools
import inspect

import numpy as np
import pytest
from fastmlp import Network, Trainer, distributed, optimizers, schedules
from fastmlp.callbacks import EarlyStopping
from rejections import REJECTED, classifier, data


@pytest.mark.parametrize(
    "layer_sizes, message",
    [
        ((), r"\(\)|at least|two"),
        ((5,), r"\(5,\)|at least|two"),
        (5, "5"),
        (None, "(?i)None"),
        ((0, 3), r"\b0\b"),
        ((5, 0, 3), r"\b0\b"),
        ((5, -1), "-1"),
        ((5, 2.5, 3), "2.5"),
        ((5.0, 3), "5.0"),
        ((5, "7", 3), "7"),
        ("53", "53"),
        ((5, None), "None"),
        ((5, True, 3), "True"),
        ((5, float("nan")), "nan"),
        ((2**31, 2**31), "."),
        ((5, 2**62), "."),
        ((2**62, 2**62, 3), "."),
        ((5, 2**64), "."),
        ((2**40, 3), "."),
        ((1, 2**31, 2**31, 1), "."),
    ],
)
def test_absurd_layer_sizes_are_rejected(layer_sizes, message):
    with pytest.raises((ValueError, TypeError, MemoryError), match=message):
        Network(layer_sizes)


def test_a_network_that_memory_cannot_hold_raises_with_its_bytes():
    with pytest.raises(MemoryError, match=r"need 3\.69e\+19 bytes for weights, this machine has \d"):
        Network((2**31 - 1, 2**31 - 1))


def test_layer_sizes_may_be_any_integers():
    expected = Network((5, 7, 3), seed=1).weights
    for layer_sizes in ([5, 7, 3], np.array([5, 7, 3]), (np.int32(5), np.uint8(7), 3)):
        for w, e in zip(Network(layer_sizes, seed=1).weights, expected, strict=True):
            np.testing.assert_array_equal(w, e)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(activation="sigmoid"), "sigmoid.*relu|relu.*sigmoid"),
        (dict(activation=None), "None"),
        (dict(loss="hinge"), "hinge.*cross_entropy|cross_entropy.*hinge"),
        (dict(loss=3), "3"),
        (dict(dtype="float16"), "float16.*float32|float32.*float16"),
        (dict(dtype="int32"), "int32"),
        (dict(dtype="real"), "real"),
        (dict(seed=-1), "-1"),
        (dict(seed="x"), "x"),
        (dict(seed=1.5), "1.5"),
        (dict(input_scale=np.nan), "(?i)nan"),
        (dict(input_scale=np.inf), "(?i)inf"),
        (dict(input_scale="1"), "1|str"),
    ],
)
def test_bad_network_settings_are_rejected(settings, message):
    with pytest.raises(REJECTED, match=message):
        Network((5, 3), **settings)


def test_dtype_may_be_numpys():
    for dtype in (np.float64, np.dtype("float64"), "float64"):
        assert Network((5, 3), dtype=dtype).weights[0].dtype == np.float64


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(optimizer="lbfgs"), "lbfgs.*sgd|sgd.*lbfgs"),
        (dict(optimizer=None), "None"),
        (dict(learning_rate=-0.1), "learning_rate.*-0.1"),
        (dict(learning_rate=float("nan")), "learning_rate.*nan"),
        (dict(learning_rate=float("inf")), "learning_rate.*inf"),
        (dict(learning_rate="fast"), "learning_rate.*fast"),
        (dict(learning_rate=0), "learning_rate.*0"),
        (dict(batch_size=0), "batch_size.*0"),
        (dict(batch_size=-5), "batch_size.*-5"),
        (dict(batch_size=2.5), "batch_size.*2.5"),
        (dict(batch_size="all"), "batch_size.*all"),
        (dict(batch_size=2**70), "batch_size"),
        (dict(momentum=-0.1), "momentum.*-0.1"),
        (dict(momentum=1.5), "momentum.*1.5"),
        (dict(momentum=float("nan")), "momentum.*nan"),
        (dict(nesterov="yes"), "nesterov.*yes"),
        (dict(optimizer="adam", beta_1=1.0), "beta_1.*1"),
        (dict(optimizer="adam", beta_1=-0.1), "beta_1.*-0.1"),
        (dict(optimizer="adam", beta_2=1.0), "beta_2.*1"),
        (dict(optimizer="adam", beta_2=float("nan")), "beta_2.*nan"),
        (dict(optimizer="adam", epsilon=-1e-8), "epsilon.*-1e-0?8"),
        (dict(optimizer="adam", epsilon=0.0), "epsilon.*0"),
        (dict(l1=-0.1), "l1.*-0.1"),
        (dict(l1=float("inf")), "l1.*inf"),
        (dict(l2=-1), "l2.*-1"),
        (dict(l2=float("nan")), "l2.*nan"),
        (dict(l2="none"), "l2.*none"),
        (dict(accumulate=0), "accumulate.*0"),
        (dict(accumulate=-2), "accumulate.*-2"),
        (dict(accumulate="batch"), "accumulate.*batch"),
        (dict(accumulate=1.5), "accumulate.*1.5"),
        (dict(shuffle="no"), "shuffle.*no"),
        (dict(seed=-3), "seed.*-3"),
        (dict(seed="x"), "seed.*x"),
        (dict(n_threads=0), "n_threads.*0"),
        (dict(n_threads=-1), "n_threads must be at least 1, got -1: None lets fits use all cores"),
        (dict(n_threads=1.5), "n_threads.*1.5"),
        (dict(n_threads=2**40), "n_threads"),
    ],
)
def test_bad_hyperparameters_are_rejected_by_name_and_value(settings, message):
    with pytest.raises(REJECTED, match=message):
        Trainer(classifier(), **settings)


def test_a_trainer_needs_a_network():
    with pytest.raises(TypeError, match="(?i)network"):
        Trainer((5, 3))


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(epochs=0), "epochs.*0"),
        (dict(epochs=-1), "epochs.*-1"),
        (dict(epochs=2.5), "epochs.*2.5"),
        (dict(epochs="many"), "epochs.*many"),
        (dict(epochs=1, callbacks=7), "callbacks.*7"),
        (dict(epochs=1, callbacks=["print"]), "callbacks.*print"),
        (dict(epochs=1, verbose="loud"), "verbose.*loud"),
    ],
)
def test_bad_fit_settings_are_rejected(settings, message):
    X, labels, _ = data()
    net = classifier()
    before = net.weights[0]
    with pytest.raises(REJECTED, match=message):
        Trainer(net, batch_size=4).fit(X, labels, **settings)
    np.testing.assert_array_equal(net.weights[0], before)


@pytest.mark.parametrize(
    "penalty, message",
    [
        (dict(l1=-1.0), "l1.*-1"),
        (dict(l2=float("nan")), "l2.*nan"),
        (dict(l2="x"), "l2.*x"),
    ],
)
def test_bad_penalties_are_rejected_by_the_network(penalty, message):
    X, labels, _ = data()
    with pytest.raises(REJECTED, match=message):
        classifier().loss_and_gradients(X, labels, **penalty)


def test_parameters_that_do_not_fit_are_rejected_and_change_nothing():
    net = classifier("float32")
    weights, biases = net.weights, net.biases
    spoiled = [w.copy() for w in weights]
    spoiled[1][6, 2] = np.nan
    beyond = [w.astype(np.float64) for w in weights]
    beyond[0][4, 6] = 1e300
    swapped_last = [weights[0] + 1, weights[1].T.copy()]  # the first would fit: it must not be set either
    cases = [
        (weights[:1], biases, "(?=.*1).*2"),
        (weights, biases[:1], "(?=.*1).*2"),
        (swapped_last, biases, r"(?=.*\(7, 3\)).*\(3, 7\)"),
        (weights, [biases[0], biases[1][:2]], r"(?=.*3).*2"),
        (spoiled, biases, "(?i)nan"),
        (beyond, biases, "float32"),
        (None, biases, "."),
        (weights, 3, "."),
        ([w.astype(complex) for w in weights], biases, "complex"),
        ([w.astype(str) for w in weights], biases, "."),
    ]
    for new_weights, new_biases, found in cases:
        with pytest.raises(REJECTED, match=found):
            net.set_parameters(new_weights, new_biases)
        for p, expected in zip(net.weights + net.biases, weights + biases, strict=True):
            np.testing.assert_array_equal(p, expected)


def test_numbers_must_survive_rounding_to_the_networks_dtype():
    for changed in [
        dict(learning_rate=1e-60),
        dict(optimizer="adam", epsilon=1e-46),
        dict(l2=1e39),
        dict(momentum=1 - 1e-10),
    ]:
        with pytest.raises(ValueError, match="float32 rounds to"):
            Trainer(classifier("float32"), **changed)
        Trainer(classifier("float64"), **changed)
    with pytest.raises(ValueError, match="learning_rate"):
        Trainer(classifier(), learning_rate=10**400)
    for scale in (0, 1e-60):
        with pytest.raises(ValueError, match="input_scale must not be zero"):
            Network((5, 3), input_scale=scale)
    with pytest.raises(ValueError, match="input_scale.*float32"):
        Network((5, 3), input_scale=1e300)


def test_settings_that_would_be_ignored_are_rejected():
    with pytest.raises(ValueError, match="momentum.*adam"):
        Trainer(classifier(), optimizer="adam", momentum=0.9)
    with pytest.raises(ValueError, match="nesterov.*momentum"):
        Trainer(classifier(), nesterov=True)


@pytest.mark.parametrize("optimizer", optimizers.TABLE)
def test_only_its_own_settings_have_values_and_none_is_the_default(optimizer):
    """Also where the value is the default of another optimizer."""
    rates = {"sgd": 0.1, "rmsprop": 0.01, "adam": 0.001, "adamw": 0.001, "nadam": 0.001}
    trainer = Trainer(classifier(), optimizer)
    assert trainer.learning_rate == Trainer(classifier(), optimizer, None).learning_rate == rates[optimizer]
    assert f"learning_rate={rates[optimizer]}" in repr(trainer) and "beta" not in repr(trainer)
    for name, setting in optimizers.SETTINGS.items():
        assert getattr(Trainer(classifier(), optimizer, **{name: None}), name) == setting.default
        if name in optimizers.TABLE[optimizer].settings:
            Trainer(classifier(), optimizer, **{name: setting.default})
            continue
        hint = "; l2= is the penalty of all optimizers$" if name == "weight_decay" else f"with '{optimizer}'$"
        with pytest.raises(ValueError, match=f"^{name} belongs to optimizer=.*{hint}"):
            Trainer(classifier(), optimizer, **{name: setting.default})


@pytest.mark.parametrize("layer_sizes", [{5, 3}, {5: 1, 3: 1}, b"\x05\x03", np.array([[5], [3]]), np.array(5)])
def test_layer_sizes_have_an_order(layer_sizes):
    with pytest.raises((TypeError, ValueError), match="layer_sizes"):
        Network(layer_sizes)


def test_memory_is_counted_to_the_byte(monkeypatch):
    """Rows of 16 numbers' cache lines, and for training the transposed copy."""
    from fastmlp import validation

    for dtype, size in (("float32", 4), ("float64", 8)):
        needed = size * (5 * (7 + 15) + 7 * (5 + 15) + 7 * (3 + 15) + 3 * (7 + 15))
        monkeypatch.setattr(validation, "_physical_memory", functools.partial(float, needed))
        Network((5, 7, 3), dtype=dtype)
        monkeypatch.setattr(validation, "_physical_memory", functools.partial(float, needed - 1))
        with pytest.raises(
            MemoryError, match=r"layer_sizes \(5, 7, 3\) need [\d.e+]+ bytes for weights, this machine has"
        ):
            Network((5, 7, 3), dtype=dtype)


def test_parameters_are_as_many_as_there_are_layers():
    net = classifier()
    weights, biases = net.weights, net.biases
    for more in (weights[:1], [*weights, weights[1]], []):
        with pytest.raises(ValueError, match=f"weights must be a list of 2 arrays, got {len(more)}"):
            net.set_parameters(more, biases)
    for more in (biases[:1], [*biases, biases[1]], []):
        with pytest.raises(ValueError, match=f"biases must be a list of 2 arrays, got {len(more)}"):
            net.set_parameters(weights, more)
    for shape in ((7,), (5, 7, 1), (7, 5), (5, 6)):
        with pytest.raises(ValueError, match=rf"weights\[0\] must have shape \(5, 7\), got \({shape[0]},"):
            net.set_parameters([np.zeros(shape), weights[1]], biases)
    for place in (0, 1):
        bad = [b.copy() for b in biases]
        bad[place][-1] = np.nan
        with pytest.raises(
            ValueError, match=rf"biases\[{place}\] must be finite, got nan at \[{len(bad[place]) - 1}\]"
        ):
            net.set_parameters(weights, bad)


@pytest.mark.parametrize("value", [(), (1,), (1, 2, 3), [1], {1: 2, 3: 4}, "ab", None, np.zeros((2, 3))])
def test_a_pair_is_a_tuple_or_a_list_of_two(value):
    from fastmlp import validation

    validation.check_pair("p", (1, 2))
    validation.check_pair("p", [1, 2])
    kind = type(value).__name__
    found = f"a {kind} of {len(value)}" if isinstance(value, (tuple, list)) else kind
    with pytest.raises(TypeError, match=rf"^p must be a pair \(X, y\), got {found}$"):
        validation.check_pair("p", value)


def test_layer_sizes_end_at_31_bits(monkeypatch):
    from fastmlp import validation

    monkeypatch.setattr(validation, "_physical_memory", lambda: float("inf"))
    for place in (0, 1, 2):
        sizes = [1, 1, 1]
        sizes[place] = 2**31 - 1
        assert validation.check_layer_sizes(sizes, np.dtype("float32")) == tuple(sizes)
        sizes[place] = 2**31
        with pytest.raises(
            ValueError, match=rf"layer_sizes\[{place}\] must be at least 1 and at most 2147483647, got 2"
        ):
            validation.check_layer_sizes(sizes, np.dtype("float32"))


LABELS = np.arange(20) % 3


@pytest.mark.parametrize(
    "call, hint",
    [
        (lambda net, X: net.predict(X[0]), r"got \(5,\): pass X\[None\] for one row$"),
        (lambda net, X: net.predict(X.reshape(4, 5, 5)), r"got \(4, 5, 5\)$"),
        (lambda net, X: net.predict(X.reshape(20, 5, 1)), r"got \(20, 5, 1\): pass X.reshape\(len\(X\), -1\)$"),
        (lambda net, X: net.evaluate(X, LABELS * 1.0), r"got float64 such as 0.0: pass y.astype\(int\)$"),
        (
            lambda net, X: net.evaluate(X, LABELS + 0.5),
            r"such as 0.5: for real targets pass loss='squared_error' to Network$",
        ),
        (
            lambda net, X: net.evaluate(X, np.eye(3)[LABELS] / 2),
            r"for real targets pass loss='squared_error' to Network$",
        ),
        (
            lambda net, X: Network((5, 1)).evaluate(X, LABELS % 2),
            r"for two classes and one output use binary_cross_entropy$",
        ),
        (lambda net, X: net.evaluate(X, None), r"^y must be an array, got None$"),
        (lambda net, X: Network((5, 1), loss="huber").evaluate(X, None), r"^y must be an array, got None$"),
        (
            lambda net, X: net.predict([X, X[:3]]),
            r"X must be an array of rows, got a list of 2 .*streaming.Stream\(batches\)$",
        ),
        (
            lambda net, X: net.evaluate(X, LABELS, X[:, 0]),
            r"got ndarray of shape \(20,\): pass weights as sample_weight=$",
        ),
        (lambda net, X: Network((5, 1), loss="huber").evaluate(X, X[:, 0] / 0), r"y must be finite, got nan at \[0\]$"),
        (lambda net, X: Network((5, 1), loss="poisson").evaluate(X, -1 - X[:, 0]), r"for poisson, got -1.0 at \[0\]$"),
        (
            lambda net, X: Trainer(net, schedule=schedules.cosine),
            r"schedules.cosine must be called: schedules.cosine\(\)$",
        ),
        (
            lambda net, X: Trainer(net).fit(X, LABELS, 1, callbacks=[EarlyStopping]),
            r"got the class EarlyStopping: call it, EarlyStopping\(\)$",
        ),
        (
            lambda net, X: Trainer(net, learning_rate=X),
            r"learning_rate must be a number, got ndarray of shape \(20, 5\)$",
        ),
        (
            lambda net, X: Trainer(net, learning_rate=[0.1] * 99),
            r"learning_rate must be a number, got \[0.1, .{90,99}\.\.\.$",
        ),
        (lambda net, X: net.evaluate(X, np.eye(3)[LABELS]), r"such as 1.0: pass y.argmax\(axis=1\) of one-hot labels$"),
        (lambda net, X: net.evaluate(X, np.eye(3, dtype=int)[LABELS]), r"got \(20, 3\): pass y.argmax\(axis=1\)$"),
        (lambda net, X: net.evaluate(X, LABELS[:, None]), r"got \(20, 1\): pass y.ravel\(\)$"),
        (
            lambda net, X: net.evaluate(X, np.array(list("abcd") * 5)),
            r"such as a: for class labels of text pass np.unique\(y, return_inverse=True\)",
        ),
    ],
)
def test_errors_about_shapes_and_labels_say_what_to_pass(call, hint):
    X = np.arange(100.0).reshape(20, 5)
    with np.errstate(all="ignore"), pytest.raises((ValueError, TypeError), match=hint):
        call(Network((5, 3)), X)


def test_no_callbacks_may_be_none():
    X = np.arange(100.0).reshape(20, 5) / 100
    assert len(Trainer(Network((5, 3))).fit(X, LABELS, 2, callbacks=None).loss) == 2


def test_an_iterable_of_batches_is_pointed_to_streams():
    class Loader:
        def __iter__(self):
            return iter([])

    with pytest.raises(
        TypeError, match=r"X must be an array of real numbers, or fastmlp.streaming.Stream\(chunks\), got"
    ):
        Trainer(Network((5, 3))).fit(Loader(), None, 1)


@pytest.mark.parametrize(
    "name, meant", [("lr", "learning_rate"), ("betas", "beta_1"), ("eps", "epsilon"), ("l_1", "l1"), ("epoch", None)]
)
def test_names_of_other_libraries_are_recognised(name, meant):
    hint = f"; did you mean '{meant}'" if meant else "$"
    with pytest.raises(TypeError, match=f"^Trainer\\(\\) got an unexpected keyword argument '{name}'{hint}"):
        Trainer(Network((5, 3)), **{name: 1})


def test_swish_and_sigmoid_are_recognised():
    for name, meant in (("swish", "silu"), ("sigmoid", "logistic")):
        with pytest.raises(ValueError, match=f"got '{name}'; did you mean '{meant}'"):
            Network((5, 4, 3), activation=name)


@pytest.mark.parametrize(
    "call, hint",
    [
        (lambda net: Network((5, 3), dropout=0.1), "'dropout'; dropout belongs to Trainer$"),
        (lambda net: Network((5, 3), optimizer="adam"), "'optimizer'; optimizer belongs to Trainer$"),
        (lambda net: Trainer(net, loss="huber"), "'loss'; loss belongs to Network$"),
        (lambda net: Trainer(net, standardize=True), "'standardize'; standardize belongs to Network$"),
        (lambda net: Trainer(net).fit(None, None, 1, batch_size=3), "'batch_size'; batch_size belongs to Trainer$"),
        (lambda net: Trainer(net).fit(None, None, 1, lr=0.1), "'lr'; learning_rate belongs to Trainer$"),
        (lambda net: Trainer(net, validation_split=0.1), "'validation_split'; .* belongs to Trainer.fit$"),
        (lambda net: distributed.Trainer.fit(net, None, None, 1, metrics={}), "argument 'metrics'$"),
        (lambda net: EarlyStopping(monitor="val_loss"), "'monitor'; did you mean 'metric'"),
        (lambda net: EarlyStopping("val_loss", mode="min"), "'mode'; did you mean 'larger_is_better'"),
        (lambda net: Network((5, 3), loss="MSELoss"), "did you mean 'squared_error'"),
        (lambda net: Network((5, 3), loss="BCEWithLogitsLoss"), "did you mean 'binary_cross_entropy'"),
        (lambda net: Network((5, 3), loss="sparse_categorical_crossentropy"), "did you mean 'cross_entropy'"),
        (lambda net: net.fit, r"no attribute 'fit'; use Trainer\(network\).fit\(X, y, epochs\)$"),
        (lambda net: net.predict_proba, r"no attribute 'predict_proba'; use forward\(X\)$"),
        (lambda net: net.load_state_dict, "no attribute 'load_state_dict'; use Network.from_state_dict"),
        (lambda net: net.input_scal, "no attribute 'input_scal'$"),
        (lambda net: setattr(net, "input_scal", 3), "no attribute 'input_scal'"),
        (lambda net: setattr(net, "input_scale", 3), "input_scale|can't set"),
    ],
)
def test_what_belongs_elsewhere_is_pointed_to(call, hint):
    with pytest.raises((TypeError, ValueError, AttributeError), match=hint):
        call(Network((5, 3)))


def test_owners_have_the_arguments_that_hints_name():
    from fastmlp import callbacks, validation

    objects = {"Network": Network, "Trainer": Trainer, "Trainer.fit": Trainer.fit}
    objects["callbacks.EarlyStopping"] = callbacks.EarlyStopping
    for owner, names in validation.OWNERS.items():
        assert set(names) <= set(inspect.signature(objects[owner]).parameters)
