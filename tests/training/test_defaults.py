"""Settings of networks, trainers, estimators and functions: their defaults and their bounds."""

import inspect
import math
import re
import types

import fastmlp
import numpy as np
import pytest
from fastmlp import Network, Trainer, fit_many, ops, optimizers, validation
from problems import TRAINER_SETTINGS, problem, signature_of

SIZES = (11, 6, 4)
X, Y = problem(60, layer_sizes=SIZES)

# Defaults

OF_ESTIMATORS = dict(
    hidden_layer_sizes=(100,),
    activation="relu",
    solver="adam",
    alpha=0.0001,
    batch_size="auto",
    learning_rate="constant",
    learning_rate_init=0.001,
    power_t=0.5,
    max_iter=200,
    shuffle=True,
    random_state=None,
    tol=0.0001,
    verbose=False,
    warm_start=False,
    momentum=0.9,
    nesterovs_momentum=True,
    early_stopping=False,
    validation_fraction=0.1,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    n_iter_no_change=10,
    max_fun=15000,
    l1=0.0,
    l2=0.0,
    rho=0.99,
    momentum_decay=0.004,
    weight_decay=0.01,
    standardize=False,
    dropout=0.0,
    input_dropout=0.0,
    max_gradient_norm=None,
    schedule=None,
    weight_decay_schedule=None,
    dropout_schedule=None,
    average_decay=None,
    learning_rate_factors=None,
    precision=None,
    activation_settings=None,
    loss_settings=None,
    stopping_metric="score",
    n_threads=None,
    max_seconds=None,
    n_ensemble=1,
    ensemble_rows="all",
)
OF_TRAINER = dict(
    optimizer="sgd",
    learning_rate=None,
    batch_size=128,
    momentum=None,
    nesterov=None,
    rho=None,
    momentum_decay=None,
    beta_1=None,
    beta_2=None,
    epsilon=None,
    weight_decay=None,
    l1=0.0,
    l2=0.0,
    proximal=False,
    accumulate=1,
    max_gradient_norm=None,
    dropout=0.0,
    input_dropout=0.0,
    schedule=None,
    weight_decay_schedule=None,
    dropout_schedule=None,
    average_decay=None,
    learning_rate_factors=None,
    precision=None,
    shuffle=True,
    seed=0,
    n_threads=None,
)
OF_FIT = dict(validation_data=None, callbacks=(), verbose="auto", sample_weight=None, max_seconds=None)
OF_STUDIES = dict(
    seeds=(0,),
    evaluation_sets=None,
    verbose="auto",
    n_threads=None,
    validation_data=None,
    sample_weight=None,
    callbacks=(),
    metrics=None,
    return_networks=False,
)
OF_RANKS = dict(sync_every=1, communicator=None, n_threads=None)
REALMLP = dict(
    variant="TD",
    hidden_sizes=None,
    act=None,
    use_parametric_act=None,
    act_lr_factor=None,
    p_drop=None,
    p_drop_sched="flat_cos",
    wd=None,
    wd_sched="flat_cos",
    lr=None,
    lr_sched="coslog4",
    bias_lr_factor=None,
    add_front_scale=True,
    scale_lr_factor=None,
    weight_init_mode=None,
    bias_init_mode=None,
    last_layer_init_mode=None,
    num_emb_type=None,
    plr_sigma=None,
    plr_hidden_1=None,
    plr_hidden_2=None,
    plr_lr_factor=None,
    max_one_hot_cat_size="default",
    embedding_size=None,
    mom=0.9,
    sq_mom=0.95,
    opt_eps=1e-8,
    n_epochs=256,
    batch_size=256,
)

TABM = dict(
    arch_type="tabm",
    k=32,
    n_blocks=None,
    d_block=512,
    dropout=0.1,
    activation="relu",
    num_embeddings="piecewise_linear",
    n_bins=48,
    d_embedding=16,
    start_scaling_init="auto",
    lr=0.002,
    weight_decay=0.0003,
    gradient_clipping_norm=1.0,
    n_epochs=1000,
    batch_size=256,
    patience=16,
)

OF_TABLES = dict(
    val_fraction=0.2,
    n_ensemble=1,
    refit=False,
    time_limit=None,
    precision=None,
    categorical_features="auto",
    random_state=None,
    n_threads=None,
    verbose=False,
)

OF_CLASSES = dict(validation_metric="error", calibrate=False, class_weight=None)

OF_TARGETS = dict(objective="squared_error", quantiles=0.5, normalize_output=True, validation_metric=None)

DEFAULTS = {
    "MLPClassifier": OF_ESTIMATORS | dict(class_weight=None),
    "MLPRegressor": OF_ESTIMATORS | dict(loss="squared_error"),
    "Ensemble.forward": dict(n_threads=None, return_std=False),
    "Ensemble.predict": dict(n_threads=None),
    "Ensemble.to_c": dict(name="network"),
    "Ensemble.to_onnx": dict(input_type=None),
    "MLPRegressor.predict": dict(return_std=False),
    "Network": dict(
        activation="relu",
        loss="cross_entropy",
        dtype="float32",
        seed=0,
        input_scale=1.0,
        activation_settings=None,
        loss_settings=None,
        standardize=False,
    ),
    "Network.learn_standardization": dict(y=None, sample_weight=None, n_threads=None),
    "Network.evaluate": dict(n_threads=None, sample_weight=None),
    "Network.forward": dict(n_threads=None, precision=None),
    "Network.from_state_dict": dict(input_scale=1.0, dtype=None, activation_settings=None, loss_settings=None),
    "Network.loss_and_gradients": dict(l1=0.0, l2=0.0, n_threads=None),
    "Network.predict": dict(n_threads=None, precision=None),
    "Network.to_c": dict(name="network"),
    "Network.to_onnx": dict(input_type=None),
    "Network.to_state_dict": dict(fold_input_scale=False),
    "Trainer": OF_TRAINER,
    "Network.begin": dict(n_threads=None),
    "Network.input_gradient": dict(output=None, n_threads=None),
    "Trainer.apply": dict(n_threads=None),
    "distributed.Trainer.apply": dict(n_threads=None),
    "Trainer.fit": OF_FIT | dict(n_threads=None, validation_split=None, metrics=None),
    "Trainer.resume": dict(n_threads=None),
    "callbacks.Checkpoint": dict(every_epochs=1, every_seconds=None, best=None, larger_is_better=None),
    "callbacks.EarlyStopping": dict(
        metric="val_loss", patience=10, min_delta=0.0, restore_best=False, larger_is_better=None
    ),
    "callbacks.ReduceOnPlateau": dict(
        metric="val_loss", factor=0.1, patience=10, min_delta=0.0, min_rate=0.0, larger_is_better=None
    ),
    "datasets.hill_and_valley_grid": dict(points=1000),
    "datasets.load_idx": dict(classes=10),
    "datasets.load_fashion_mnist": dict(folder=None, download=True),
    "datasets.load_mnist": dict(folder=None, download=True),
    "datasets.make_digits": dict(train_samples=60000, test_samples=10000, seed=0),
    "datasets.make_hill_and_valley": dict(noise=0.0, seed=0),
    "distributed.MPICommunicator": dict(comm=None),
    "distributed.Trainer": dict(optimizer="sgd", learning_rate=None, batch_size=128) | OF_RANKS,
    "distributed.Trainer.fit": OF_FIT | dict(n_threads=None),
    "distributed.Trainer.resume": OF_RANKS,
    "fit_ensemble": OF_FIT | dict(seeds=range(5), rows="all", n_threads=None, metrics=None),
    "fit_lbfgs": OF_FIT | dict(max_iter=1000, l1=0.0, l2=0.0, tol=1e-6, n_threads=None, metrics=None),
    "fit_many": OF_FIT | dict(n_threads=None, return_diverged=False, validation_split=None, metrics=None),
    "ops.activate": dict(settings=None),
    "ops.activation_gradient": dict(settings=None, z=None),
    "ops.loss_and_gradient": dict(settings=None),
    "ops.matmul": dict(transpose_a=False, transpose_b=False, n_threads=None, precision=None),
    "plotting.HeatMapDisplay.from_rows": dict(ax=None),
    "plotting.HeatMapDisplay.plot": dict(ax=None, text=None),
    "plotting.HeatMapDisplay": dict(label=""),
    "plotting.LearningCurveDisplay": dict(x=None, xlabel="epoch", styles=None, title=""),
    "plotting.LearningCurveDisplay.from_history": dict(metric="loss", ax=None, x="epoch"),
    "plotting.LearningCurveDisplay.from_rows": dict(ax=None, x="epoch"),
    "plotting.LearningCurveDisplay.plot": dict(ax=None),
    "plotting.PathDisplay.from_rows": dict(ax=None),
    "plotting.PathDisplay.plot": dict(ax=None),
    "plotting.SurfaceDisplay": dict(zlabel=""),
    "plotting.SurfaceDisplay.from_function": dict(points=41, ax=None, zlabel="value"),
    "plotting.SurfaceDisplay.from_network": dict(points=41, minus=None, ax=None, output=0),
    "plotting.SurfaceDisplay.plot": dict(ax=None),
    "plotting.WeightsDisplay.from_network": dict(neurons=None, ax=None),
    "plotting.WeightsDisplay.plot": dict(ax=None, columns=6),
    "schedules.Schedule": dict(settings=signature_of(fastmlp.schedules.Schedule)["settings"].default, function=None),
    "schedules.cosine": dict(warmup=0.0, end=0.0),
    "schedules.exponential": dict(end=0.01),
    "schedules.one_cycle": dict(peak=0.3, start=0.04, end=0.00004),
    "schedules.step": dict(steps=3, factor=0.1),
    "show_config": dict(mode="stdout"),
    "streaming.Stream.of_rows": dict(chunk_rows=None, blocks_per_chunk=64, sample_weight=None),
    "metrics.mean_squared_error": dict(sample_weight=None),
    "studies.architectures": dict(ratio=0.75) | OF_STUDIES,
    "studies.batch_sizes": OF_STUDIES,
    "studies.compare": OF_STUDIES,
    "studies.learning_curve": OF_STUDIES,
    "studies.penalty_path": OF_STUDIES,
    "studies.widths": dict(ratio=0.75),
    "tabular.RealMLPClassifier": REALMLP | OF_TABLES | OF_CLASSES | dict(ls_eps=0.1),
    "tabular.RealMLPRegressor": REALMLP | OF_TABLES | OF_TARGETS | dict(clamp_output=None),
    "tabular.TabMClassifier": TABM | OF_TABLES | OF_CLASSES,
    "tabular.TabMRegressor": TABM | OF_TABLES | OF_TARGETS | dict(clamp_output=False),
}


PARTS = ("fastmlp.formats.exports", "fastmlp.trainer_state")
"""Modules of base classes that hold a part of a public class."""


def public_functions():
    """Those of the package, with constructors and methods, by their names."""
    found = {}

    def visit(name, value):
        if inspect.isfunction(value):
            found[name] = value
        elif inspect.isclass(value) and not issubclass(value, (tuple, Exception)):
            found[name] = value
            parts = [base for base in value.__mro__ if base.__module__ in PARTS]
            for method in {key: part for each in (*parts, value) for key, part in vars(each).items()}.items():
                if not method[0].startswith("_"):
                    function = method[1].__func__ if isinstance(method[1], classmethod) else method[1]
                    if inspect.isfunction(function):
                        found[f"{name}.{method[0]}"] = function

    for name in fastmlp.__all__:
        value = getattr(fastmlp, name)
        if not isinstance(value, types.ModuleType):
            visit(name, value)
            continue
        own = {key for key, part in vars(value).items() if getattr(part, "__module__", "") == value.__name__}
        for key in getattr(value, "__all__", own):
            if not key.startswith("_"):
                visit(f"{name}.{key}", getattr(value, key))
    found.pop("History")  # lists
    return found


def test_defaults_are_the_promised_ones():
    """Defaults are part of the interface: this table changes only together with the documentation."""
    pytest.importorskip("sklearn")
    found = {}
    for name, function in public_functions().items():
        defaults = {
            key: parameter.default
            for key, parameter in signature_of(function).items()
            if parameter.default is not parameter.empty
        }
        if defaults:
            found[name] = defaults
    assert found == DEFAULTS


def test_docstrings_name_the_defaults_of_the_signature():
    """Where they name one: "default=0.9, 0.999" for two parameters, "default 10" for one."""
    pytest.importorskip("sklearn")
    named = 0
    for name, function in public_functions().items():
        for names, values in re.findall(r"^ *([\w, ]+) : .*?default[= ](.+)$", inspect.getdoc(function) or "", re.M):
            names = names.split(", ")
            values = values.split(", ", len(names) - 1) if len(names) > 1 else [values]
            if len(names) != len(values):  # one for all
                values *= len(names)
            for key, value in zip(names, values, strict=True):
                default = signature_of(function)[key].default
                assert eval(re.sub(r" bytes| values", "", value)) == default, f"{name}, {key}"
                named += 1
    assert named > 30


def test_estimators_share_scikit_learns_defaults_and_bounds():
    pytest.importorskip("sklearn", minversion="1.9", reason="compares with scikit-learn 1.9's own")
    import sklearn.neural_network

    for name in ("MLPClassifier", "MLPRegressor"):
        ours, theirs = getattr(fastmlp, name), getattr(sklearn.neural_network, name)
        for key, parameter in signature_of(theirs).items():
            assert signature_of(ours)[key].default == parameter.default, f"{name}, {key}"
            assert signature_of(ours)[key].kind == parameter.kind, f"{name}, {key}"
            # their texts, in which the choices are sets
            bounds = [
                [sorted(re.findall(r"[^\s,{}]+", str(bound))) for bound in kind._parameter_constraints[key]]
                for kind in (ours, theirs)
            ]
            has_more = key in ("activation", "loss", "solver")
            more, fewer = bounds if has_more else bounds[::-1]
            assert len(more) == len(fewer) or key == "activation", f"{name}, {key}"  # ours takes lists, too
            assert all(set(b) <= set(a) for a, b in zip(more, fewer)), f"{name}, {key}"
            assert bounds[0] == bounds[1] or has_more, f"{name}, {key}"


OF_OPTIMIZERS = {"learning_rate", *optimizers.SETTINGS}  # None: the optimizer's own value

# Bounds. Of each number: the first accepted value on either side, and the first rejected one.

TINY = 5e-324
BOUNDS = {
    "learning_rate": ([TINY, 1e300], [0, -TINY]),
    "batch_size": ([1, 2**63 - 1], [0, 2**63]),
    "momentum": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "rho": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "momentum_decay": ([0, 1e300], [-TINY, math.inf]),
    "beta_1": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "beta_2": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "epsilon": ([TINY, 1e300], [0, -TINY]),
    "weight_decay": ([0, 1e300], [-TINY, math.inf]),
    "max_gradient_norm": ([TINY, 1e300, None], [0, -TINY]),
    "dropout": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "input_dropout": ([0, np.nextafter(1, 0)], [-TINY, 1]),
    "average_decay": ([TINY, np.nextafter(1, 0), None], [0, 1]),
    "l1": ([0, 1e300], [-TINY, math.inf]),
    "l2": ([0, 1e300], [-TINY, math.inf]),
    "accumulate": ([1, 2**63 - 1, "epoch"], [0, 2**63, "epochs"]),
    "seed": ([0, 2**63 - 1], [-1, 2**63]),
    "n_threads": ([1, 1024, None], [0, 1025]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_trainers_numbers_are_accepted_up_to_their_bounds(name):
    needed = TRAINER_SETTINGS[name][0]
    good, bad = BOUNDS[name]
    for value in good:
        trainer = Trainer(Network((3, 4, 2), dtype="float64"), **needed, **{name: value})
        if name != "seed":
            assert getattr(trainer, name) == value
    for value in bad:
        with pytest.raises(ValueError, match=rf"^{name} must be .*, got {re.escape(repr(value))}"):
            Trainer(Network((3, 2), dtype="float64"), **needed, **{name: value})
    for value in (True, "x", [1], 1j) + (() if None in good or name in OF_OPTIMIZERS else (None,)):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be .*, got {re.escape(repr(value))}"):
            Trainer(Network((3, 2), dtype="float64"), **needed, **{name: value})


def test_flags_are_booleans_and_every_setting_has_its_bounds():
    flags = {"nesterov", "proximal", "shuffle"}
    others = {
        "optimizer",
        "schedule",
        "weight_decay_schedule",
        "dropout_schedule",
        "learning_rate_factors",
        "precision",
    }
    assert flags | BOUNDS.keys() | others == TRAINER_SETTINGS.keys()
    for name in flags:
        for value in (0, 1, "True") + (() if name in OF_OPTIMIZERS else (None,)):
            with pytest.raises(TypeError, match=f"^{name} must be True or False, got {value!r}"):
                Trainer(Network((3, 2)), **{name: value})
        for value in (np.True_, np.False_):
            Trainer(Network((3, 2)), momentum=0.5, **{name: value})


FLAGS = {  # of functions; those of trainers are above
    "transpose_a": lambda value: ops.matmul(np.ones((2, 2)), np.ones((2, 2)), transpose_a=value),
    "transpose_b": lambda value: ops.matmul(np.ones((2, 2)), np.ones((2, 2)), transpose_b=value),
    "fold_input_scale": lambda value: Network((3, 2)).to_state_dict(fold_input_scale=value),
    "return_diverged": lambda value: fit_many([Trainer(Network(SIZES))], X, Y, 1, return_diverged=value),
}


@pytest.mark.parametrize("name", FLAGS)
def test_flags_of_functions_are_booleans(name):
    for value in (0, 1, None, "True", np.ones(1, bool)):
        with pytest.raises(TypeError, match=f"^{name} must be True or False, got "):
            FLAGS[name](value)
    for value in (True, False, np.True_, np.False_):
        FLAGS[name](value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name, side", [("momentum", 1), ("beta_1", 1), ("beta_2", 1), ("learning_rate", 0), ("epsilon", 0)]
)
def test_bounds_hold_for_the_number_that_the_core_gets(dtype, name, side):
    """Not 1, but a number that float32 rounds to it: rejected for float32, and the next but one below is not."""
    needed = TRAINER_SETTINGS[name][0]
    kind = np.finfo(dtype)
    inside = float(np.nextafter(kind.dtype.type(1), kind.dtype.type(0))) if side else float(kind.smallest_subnormal)
    Trainer(Network((3, 2), dtype=dtype), **needed, **{name: inside})
    between = 1 - kind.epsneg / 8 if side else inside / 8
    with pytest.raises(ValueError, match=name):
        Trainer(Network((3, 2), dtype=dtype), **needed, **{name: between})


@pytest.mark.parametrize(
    "minimum, maximum, good, bad",
    [(1, 5, [1, 5, np.int8(3)], [0, 6]), (0, 0, [0], [-1, 1]), (-2, 2**63 - 1, [-2, 2**63 - 1], [-3, 2**63])],
)
def test_integers_between_bounds(minimum, maximum, good, bad):
    for value in good:
        found = validation.check_integer("n", value, minimum, maximum)
        assert found == value and type(found) is int
    for value in bad:
        both = f" and at most {maximum}" if maximum < 2**63 - 1 or value > maximum else ""
        with pytest.raises(ValueError, match=f"^n must be at least {minimum}{both}, got {value}$"):
            validation.check_integer("n", value, minimum, maximum)


@pytest.mark.parametrize(
    "bounds, good, bad, message",
    [
        (dict(above=0), [TINY, 1], [0, -0.0, -1], "> 0"),
        (dict(minimum=0), [0, -0.0, 1], [-TINY], ">= 0"),
        (dict(below=1), [-1, np.nextafter(1, 0)], [1, 2], "< 1"),
        (dict(minimum=0, below=1), [0, 0.5], [1, -TINY], ">= 0 and < 1"),
        ({}, [-1e308, 1e308], [math.inf, -math.inf, math.nan, 10**400], ""),
    ],
)
def test_numbers_between_bounds(bounds, good, bad, message):
    for value in good:
        found = validation.check_number("r", value, **bounds)
        assert found == value and type(found) is float
    for value in bad:
        with pytest.raises(
            ValueError, match=f"^r must be a finite number {message}".rstrip() + f", got {validation.shown(value)}$"
        ):
            validation.check_number("r", value, **bounds)


def test_the_table_has_every_setting_at_another_value_than_its_default():
    assert TRAINER_SETTINGS.keys() == signature_of(Trainer).keys() - {"network"}
    own = {"learning_rate": 0.1, **{name: setting.default for name, setting in optimizers.SETTINGS.items()}}
    for name, (_, value) in TRAINER_SETTINGS.items():
        assert value != {**OF_TRAINER, **own}[name]
