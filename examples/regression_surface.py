"""How well does a network learn a function of two variables? Its surface beside the true one, and the error.

python examples/regression_surface.py
"""

from fastmlp import Network, fit_lbfgs
from fastmlp.datasets import hill_and_valley, make_hill_and_valley
from fastmlp.metrics import mean_squared_error
from fastmlp.plotting import SurfaceDisplay
from matplotlib import pyplot as plt

X, y = make_hill_and_valley(500, seed=0)
X_test, y_test = make_hill_and_valley(2000, seed=1)
net = Network((2, 20, 20, 1), activation="tanh", loss="squared_error", dtype="float64")
fit_lbfgs(net, X, y, max_iter=500)  # a method for small, smooth problems

figure, axes = plt.subplots(ncols=3, figsize=(12, 4), layout="constrained", subplot_kw={"projection": "3d"})
SurfaceDisplay.from_function(hill_and_valley, bounds=(-2, 2), ax=axes[0])
SurfaceDisplay.from_network(net, bounds=(-2, 2), ax=axes[1])
SurfaceDisplay.from_network(net, bounds=(-2, 2), minus=hill_and_valley, ax=axes[2])
for ax, title in zip(axes, ("the function", "the network", "its error")):
    ax.set_title(title)
figure.savefig("regression_surface.png", dpi=150)
print(f"mean squared error on 2000 other points: {mean_squared_error(y_test, net.predict(X_test)):.1e}")
