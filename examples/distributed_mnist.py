"""Train one network on MNIST in several processes. Each process has its own rows.

mpiexec -n 2 python -m mpi4py examples/distributed_mnist.py

Each update is that of one process with the same rows in its batch, up to rounding. Each process reads its rows from
memory-mapped files.
The data are MNIST if --data or the environment variable FASTMLP_DATA names its folder, else digits drawn from fonts.
The script needs `pip install ".[mpi,files]"` and an MPI, such as `pip install mpich`. The drawn digits need matplotlib.
"""

import argparse
import os
import tempfile
from pathlib import Path

import fastmlp
import numpy as np
from fastmlp.callbacks import Checkpoint
from fastmlp.datasets import load_mnist, make_digits
from fastmlp.distributed import MPICommunicator, Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", default=os.environ.get("FASTMLP_DATA"), help="folder of MNIST")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128, help="mini-batch size, all ranks together; default 128")
    parser.add_argument("--sync-every", type=int, default=1, help="updates per average of the weights; default 1")
    parser.add_argument("--checkpoint", type=Path, help="file to save and to resume from")
    choice = parser.parse_args()
    communicator = MPICommunicator()
    rank, size = communicator.rank, communicator.size

    # A real program reads files on a disk that all ranks share. Here each process writes its own copy.
    with tempfile.TemporaryDirectory() as folder:
        x_train, y_train, x_test, y_test = load_mnist(choice.data) if choice.data else make_digits(6000, 1000)
        np.save(Path(folder, "x.npy"), x_train)
        np.save(Path(folder, "y.npy"), y_train)
        rows = slice(rank * len(x_train) // size, (rank + 1) * len(x_train) // size)
        X = np.load(Path(folder, "x.npy"), mmap_mode="r")[rows]
        y = np.load(Path(folder, "y.npy"), mmap_mode="r")[rows]

        if choice.checkpoint and choice.checkpoint.exists():
            trainer = Trainer.resume(choice.checkpoint, sync_every=choice.sync_every, communicator=communicator)
        else:
            trainer = Trainer(
                fastmlp.Network((784, 128, 10), input_scale=1 / 255),
                learning_rate=0.3,
                batch_size=choice.batch_size,
                sync_every=choice.sync_every,
                communicator=communicator,
            )
        history = trainer.fit(
            X,
            y,
            epochs=choice.epochs,
            validation_data=(x_test[rank::size], y_test[rank::size]),
            callbacks=[Checkpoint(choice.checkpoint)] if choice.checkpoint else [],
        )
    if rank == 0:
        print(f"ranks {size}, epochs {len(trainer.history.loss)}, test accuracy {history.val_accuracy[-1]:.4f}")


if __name__ == "__main__":
    main()
