"""How strong should the penalty be? Accuracy on training and validation data by the strength of L2, for three seeds.

python examples/penalty_path.py
"""

import numpy as np
from fastmlp import plotting, studies
from fastmlp.datasets import make_digits  # or load_mnist, which downloads MNIST once

x_train, y_train, x_val, y_val = make_digits(500, 1000)  # few images, so that the network overfits
strengths = [0, 1e-4, 1e-3, 1e-2, 1e-1]
rows = studies.penalty_path(
    "l2",
    strengths,
    x_train,
    y_train,
    epochs=40,
    settings={"layer_sizes": (784, 64, 10), "input_scale": 1 / 255, "learning_rate": 0.1, "batch_size": 32},
    seeds=range(3),
    validation_data=(x_val, y_val),
)

display = plotting.PathDisplay.from_rows(rows, ["accuracy", "val_accuracy"], x="l2")
display.figure_.savefig("penalty_path.png", dpi=150)
for l2 in strengths:
    last = [row["val_accuracy"] for row in rows if row["l2"] == l2 and row["epoch"] == 40]
    print(f"l2 = {l2:<6g} validation accuracy {np.mean(last):.3f}")
