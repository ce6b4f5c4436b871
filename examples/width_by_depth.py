"""Which architecture is best? A heat map of validation accuracy by width and depth, the mean of two seeds.

python examples/width_by_depth.py
"""

from fastmlp import plotting, studies
from fastmlp.datasets import make_digits  # or load_mnist, which downloads MNIST once

x_train, y_train, x_val, y_val = make_digits(4000, 1000)
rows = studies.architectures(
    first_widths=[16, 32, 64, 128],
    depths=[1, 2, 3],
    X=x_train,
    y=y_train,
    epochs=10,
    settings={"input_scale": 1 / 255, "learning_rate": 0.1, "batch_size": 32},
    outputs=10,
    seeds=range(2),
    validation_data=(x_val, y_val),
)

display = plotting.HeatMapDisplay.from_rows(rows, "val_accuracy", x="width", y="depth")
display.figure_.savefig("width_by_depth.png", dpi=150)
best = max((row for row in rows if row["epoch"] == 10), key=lambda row: row["val_accuracy"])
print(f"best network: {best['layer_sizes']}, {best['parameters']} parameters, accuracy {best['val_accuracy']:.3f}")
