"""Networks for tables, small and of all kinds."""

from fastmlp.tabular.network import Architecture

SMOOTHED = {"loss": "cross_entropy", "loss_settings": {"label_smoothing": 0.1}, "outputs": 3}
SQUARED = {"loss": "squared_error", "outputs": 2}

ARCHITECTURES = {
    "plain": Architecture(3, 0, (5,), activation="relu", **SQUARED),
    "RealMLP-TD-S": Architecture(4, 3, (9, 17, 6), activation="selu", scales_inputs=True, **SMOOTHED),
    "RealMLP-TD": Architecture(
        2,
        1,
        (9, 17),
        activation="mish",
        scales_inputs=True,
        mixes_activation=True,
        frequencies=5,
        embedding_outputs=3,
        categories=((4, 2), (3, 5)),
        **SQUARED,
    ),
    "only categories": Architecture(0, 0, (7,), activation="tanh", categories=((5, 3),), **SMOOTHED),
    "TabM-mini": Architecture(3, 1, (8, 7), activation="relu", members=5, scales_inputs=True, **SMOOTHED),
    "TabM": Architecture(
        3, 1, (4, 7, 9), activation="tanh", members=5, scales_layers=True, categories=((3, 2),), **SQUARED
    ),
    "TabM with bins": Architecture(
        3,
        1,
        (9, 7),
        activation="relu",
        members=4,
        scales_layers=True,
        embedding_outputs=5,
        bin_edges=((-1.0, 0.0, 0.3, 2.0), (-0.5, 0.5), (-2.0, -1.0, 1.0)),
        **SQUARED,
    ),
    "all at once": Architecture(
        2,
        2,
        (6, 20),
        activation="mish",
        members=3,
        scales_layers=True,
        mixes_activation=True,
        frequencies=3,
        embedding_outputs=1,
        **SMOOTHED,
    ),
}
