"""Train a grid of architectures in threads, in processes, or on a Dask cluster. All three print the same table.

python examples/architecture_grid.py --backend loky

The data are MNIST if --data or the environment variable FASTMLP_DATA names its folder, else digits drawn from fonts.
loky and Dask need `pip install ".[sweeps]"`, and the drawn digits need matplotlib.
"""

import argparse
import os
import time
from contextlib import ExitStack

from fastmlp import studies
from fastmlp.datasets import load_mnist, make_digits

SETTINGS = {"learning_rate": 0.3, "batch_size": 64, "input_scale": 1 / 255}


def select_backend(backend: str, workers: int, stack: ExitStack) -> None:
    """Run studies on this backend until the stack is closed."""
    if backend == "threads":
        return  # the default of studies: one network per core, in this process
    from joblib import parallel_config

    if backend == "dask":
        from dask.distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")
        stack.enter_context(Client(stack.enter_context(cluster)))
    stack.enter_context(parallel_config(backend=backend, n_jobs=workers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", choices=["threads", "loky", "dask"], default="threads")
    parser.add_argument("--workers", type=int, default=2, help="processes of loky or Dask; default 2")
    parser.add_argument("--data", metavar="FOLDER", default=os.environ.get("FASTMLP_DATA"), help="folder of MNIST")
    parser.add_argument("--rows", type=int, default=6000, help="number of training rows; default 6000")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    choice = parser.parse_args()

    x_train, y_train, x_test, y_test = load_mnist(choice.data) if choice.data else make_digits(choice.rows, 1000)
    with ExitStack() as stack:
        select_backend(choice.backend, choice.workers, stack)
        start = time.perf_counter()
        rows = studies.architectures(
            first_widths=choice.widths,
            depths=choice.depths,
            X=x_train[: choice.rows],
            y=y_train[: choice.rows],
            epochs=choice.epochs,
            settings=SETTINGS,
            outputs=10,
            seeds=choice.seeds,
            validation_data={"test": (x_test, y_test)},
        )
        seconds = time.perf_counter() - start

    print(f"{'width':>5} {'depth':>5} {'seed':>4} {'parameters':>10} {'loss':>7} {'test accuracy':>13}")
    for row in rows:
        if row["epoch"] == choice.epochs:
            print(
                f"{row['width']:5} {row['depth']:5} {row['seed']:4} {row['parameters']:10} {row['loss']:7.4f}"
                f" {row['test_accuracy']:13.4f}"
            )
    print(f"# {choice.backend}: {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
