"""Which batch size learns fastest? Validation accuracy by epoch and by seconds, with the range of three seeds.

python examples/batch_sizes.py
"""

from fastmlp import plotting, studies
from fastmlp.datasets import make_digits  # or load_mnist, which downloads MNIST once
from matplotlib import pyplot as plt

x_train, y_train, x_val, y_val = make_digits(4000, 1000)
rows = studies.batch_sizes(
    [16, 64, 256],
    x_train,
    y_train,
    epochs=15,
    settings={"layer_sizes": (784, 64, 10), "input_scale": 1 / 255, "learning_rate": 0.1},
    seeds=range(3),
    validation_data=(x_val, y_val),
)

figure, (left, right) = plt.subplots(ncols=2, figsize=(8, 3), layout="constrained")
plotting.LearningCurveDisplay.from_rows(rows, "val_accuracy", by="batch_size", ax=left)
plotting.LearningCurveDisplay.from_rows(rows, "val_accuracy", by="batch_size", x="seconds", ax=right)
figure.savefig("batch_sizes.png", dpi=150)
for row in rows:
    if row["epoch"] == 15 and row["seed"] == 0:
        print(f"batches of {row['batch_size']:3}: accuracy {row['val_accuracy']:.3f} after 15 epochs")
