"""TabM beside the package tabm, in float64: the same predictions and gradients from the same parameters."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
tabm = pytest.importorskip("tabm", reason="needs tabm")
rtdl = pytest.importorskip("rtdl_num_embeddings", reason="needs rtdl_num_embeddings")

from fastmlp import _core  # noqa: E402
from fastmlp.tabular.network import Architecture, TabularNetwork  # noqa: E402
from fastmlp.tabular.preparation import PreparedTable  # noqa: E402
from fastmlp.tabular.training import TrainingSettings, new_trainer  # noqa: E402

ROWS, NUMBERS, CATEGORIES, CLASSES, MEMBERS, WIDTH, EMBEDDED, BINS = 300, 3, 4, 3, 5, 16, 7, 6


@pytest.fixture
def doubles():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def by_our_names(arrays, architecture):
    """The package's arrays under the names that `TabularNetwork` gives them."""
    named = {}
    if architecture.bin_edges:
        named["numbers.slopes"] = arrays["num_module.linear0.weight"]
        named["numbers.biases"] = arrays["num_module.linear0.bias"]
        named["numbers.weights"] = arrays["num_module.linear.weight"].reshape(NUMBERS, -1)
    if architecture.scales_inputs:
        named["hidden.0.input_factors"] = arrays["backbone.affine.weight"]
    for i in range(len(architecture.hidden)):
        own, block = f"hidden.{i}", f"backbone.blocks.{i}.0"
        named[f"{own}.weights"] = arrays[f"{block}.weight"].T
        if architecture.scales_layers:
            named[f"{own}.input_factors"], named[f"{own}.output_factors"] = arrays[f"{block}.r"], arrays[f"{block}.s"]
        named[f"{own}.{'member_biases' if architecture.scales_layers else 'biases'}"] = arrays[f"{block}.bias"]
    for member in range(MEMBERS):
        named[f"heads.{member}.weights"] = arrays["output.weight"][member]
        named[f"heads.{member}.biases"] = arrays["output.bias"][member]
    return named


@pytest.mark.parametrize("embeds", [True, False], ids=["bins", "plain"])
@pytest.mark.parametrize("classifies", [True, False], ids=["classes", "targets"])
@pytest.mark.parametrize("kind", ["tabm", "tabm-mini"])
@pytest.mark.usefixtures("doubles")
def test_predictions_and_gradients_are_those_of_the_package(kind, classifies, embeds):
    torch.manual_seed(0)
    X, codes = torch.randn(ROWS, NUMBERS), torch.randint(0, CATEGORIES, (ROWS, 1))
    y = torch.randint(0, CLASSES, (ROWS,)) if classifies else torch.randn(ROWS)
    bins = rtdl.compute_bins(X, n_bins=BINS) if embeds else []
    embeddings = rtdl.PiecewiseLinearEmbeddings(bins, EMBEDDED, activation=False, version="B") if embeds else None
    outputs = CLASSES if classifies else 1
    model = tabm.TabM.make(
        n_num_features=NUMBERS, cat_cardinalities=[CATEGORIES], d_out=outputs, k=MEMBERS, n_blocks=2, d_block=WIDTH,
        dropout=0.0, num_embeddings=embeddings, arch_type=kind,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    found = model(X, codes)  # (rows, members, outputs)
    loss = torch.nn.functional.cross_entropy if classifies else torch.nn.functional.mse_loss
    loss(found.flatten(0, 1).squeeze(-1), y.repeat_interleave(MEMBERS)).backward()
    expected = (found.softmax(-1) if classifies else found).mean(1).detach().numpy()

    architecture = Architecture(
        NUMBERS, CATEGORIES, (WIDTH, WIDTH), outputs, "relu", "cross_entropy" if classifies else "squared_error",
        members=MEMBERS, scales_inputs=kind == "tabm-mini", scales_layers=kind == "tabm",
        embedding_outputs=EMBEDDED if embeds else 0, bin_edges=tuple(tuple(edges.tolist()) for edges in bins),
    )  # fmt: skip
    network, theirs = TabularNetwork(architecture, "float64"), dict(model.named_parameters())
    network.parameters = by_our_names({name: array.detach().numpy() for name, array in theirs.items()}, architecture)
    table = PreparedTable(X.numpy(), np.eye(CATEGORIES)[codes.numpy()[:, 0]], np.zeros((ROWS, 0), np.int32))
    np.testing.assert_allclose(network.forward(table, 1), expected, rtol=0, atol=1e-14)
    settings = TrainingSettings(1, ROWS, 0.1, 0, gradient_factor=1.0 if classifies else 2.0)
    labelled = network.table(table, y.numpy() if classifies else y.numpy()[:, None])
    plan, update = _core.EpochPlan(ROWS, ROWS), _core.UpdateSettings(0.1)
    gradients = new_trainer(network, settings).gradients(labelled, plan, update, 1)
    expected_gradients = by_our_names({name: array.grad.numpy() for name, array in theirs.items()}, architecture)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=0, atol=1e-13 * np.abs(gradient).max(), err_msg=name)
