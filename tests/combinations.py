"""Fits with all pairs of settings: the cases, their networks and their trainers."""

import reference
from fastmlp import Network, Trainer
from pairwise import all_pairs

ROWS, INPUTS, OUTPUTS = 611, 70, 5  # 300 rows are two chunks of an update; all are five blocks of an evaluation


def rate_of(case):
    """e^z of a Poisson loss, and e^-z of a gamma loss, diverge at larger ones."""
    if case["loss"] == "gamma":
        return 0.0002
    sharp = case["loss"] == "poisson" and case["batching"] == (1, 1) and case["hidden"] == ()
    return 0.001 if sharp else 0.003


PENALTIES = {
    "none": dict(),
    "l1": dict(l1=2e-3),
    "l2": dict(l2=3e-2),
    "l1 and l2": dict(l1=2e-3, l2=3e-2),
    "proximal l1": dict(l1=2e-3, proximal=True),
    "proximal l1, l2": dict(l1=2e-3, l2=3e-2, proximal=True),
}


def cases_of(losses, activations, optimizers):
    return all_pairs(
        loss=list(losses),
        activation=list(activations),
        optimizer=list(optimizers),
        penalty=list(PENALTIES),
        batching=[(1, 1), (14, 1), (45, 3), (300, 1), (300, "epoch"), (1000, 1)],  # batch_size, accumulate
        data=["dense", "few columns", "uint8", "CSR"],
        hidden=[(), (9,), (33, 17)],
        shuffle=[True, False],
        input_scale=[1.0, 0.3],
    )


CASES = cases_of(reference.LOSSES, reference.ACTIVATIONS, reference.OPTIMIZERS)


def name_of(case):
    return "-".join(str(value) for value in case.values())


def network_of(case, dtype="float64"):
    sizes = (INPUTS, *case["hidden"], OUTPUTS)
    return Network(sizes, case["activation"], case["loss"], dtype, input_scale=case["input_scale"], seed=4)


def trainer_of(case, net, **more):
    settings, _ = reference.OPTIMIZERS[case["optimizer"]]
    batch_size, accumulate = case["batching"]
    return Trainer(
        net,
        learning_rate=rate_of(case),
        batch_size=batch_size,
        accumulate=accumulate,
        shuffle=case["shuffle"],
        seed=9,
        **settings,
        **PENALTIES[case["penalty"]],
        **more,
    )
