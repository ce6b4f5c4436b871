"""Data-parallel training: processes with rows of their own train one network together, over MPI."""

from .communicators import Communicator, MPICommunicator
from .trainer import Trainer

__all__ = ["Communicator", "MPICommunicator", "Trainer"]
