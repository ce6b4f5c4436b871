"""File formats and exports. They know the values of model_state.py, neither `Network` nor `Trainer`."""
