"""TabM with piecewise-linear embeddings, trained as in `example.ipynb` of the package tabm 0.0.3.

The test rows are not evaluated after each epoch, as they are there: that would only cost time.
"""

import copy
import math
from typing import Any

import numpy as np

from tabular.data import Problem
from tabular.trees import Predict

EVALUATION_ROWS = 8096
MIN_QUANTILES, MAX_QUANTILES, ROWS_PER_QUANTILE = 10, 1000, 30
NOISE = 1e-5  # so that equal values get different quantiles


def tabm(problem: Problem, n_epochs: int = 10**9, patience: int = 16, batch_size: int = 256) -> Predict:
    """Keeps the epoch that is best on the validation rows, and stops after `patience` epochs that are not."""
    import torch
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins
    from tabm import TabM

    torch.set_flush_denormal(True)  # as for pytabkit
    torch.manual_seed(problem.seed)
    torch.set_num_threads(problem.threads)
    prepare = Preparation(problem)
    numbers, categories = prepare(problem.X)
    embeddings = None
    if numbers.shape[1]:
        bins = compute_bins(numbers, n_bins=min(48, len(numbers) - 1))
        embeddings = PiecewiseLinearEmbeddings(bins, d_embedding=16, activation=False, version="B")
    model = TabM.make(
        n_num_features=numbers.shape[1],
        cat_cardinalities=prepare.cardinalities,
        d_out=problem.classes or 1,
        num_embeddings=embeddings,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=3e-4)
    mean, std = (0.0, 1.0) if problem.classes else (problem.y.mean(), problem.y.std())
    y = torch.as_tensor(problem.y if problem.classes else (problem.y - mean) / std)
    y = y if problem.classes else y.float()
    loss = torch.nn.functional.cross_entropy if problem.classes else torch.nn.functional.mse_loss

    def outputs(part: tuple[Any, Any], rows: Any) -> Any:  # (rows, members) or (rows, members, classes)
        numbers, categories = part
        return model(
            numbers[rows] if numbers.shape[1] else None, categories[rows] if categories.shape[1] else None
        ).squeeze(-1)

    def predict(X: Any) -> np.ndarray:
        """The mean of the members' probabilities or values."""
        model.eval()
        part = prepare(X)
        with torch.inference_mode():
            chunks = [outputs(part, rows) for rows in torch.arange(len(X)).split(EVALUATION_ROWS)]
            found = torch.cat(chunks)
            found = found.softmax(-1) if problem.classes else found * std + mean
            return found.mean(1).numpy()

    best, kept, left = math.inf, copy.deepcopy(model.state_dict()), patience
    for _ in range(n_epochs):
        model.train()
        for rows in torch.randperm(len(y)).split(batch_size):
            optimizer.zero_grad()
            # each member is trained by its own loss, on the same batch
            members = outputs((numbers, categories), rows).flatten(0, 1)
            loss(members, y[rows].repeat_interleave(model.backbone.k)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        found = predict(problem.X_validation)
        wrong = found.argmax(1) != problem.y_validation if problem.classes else (found - problem.y_validation) ** 2
        left -= 1
        if wrong.mean() < best:
            best, kept, left = wrong.mean(), copy.deepcopy(model.state_dict()), patience
        if left < 0:
            break
    model.load_state_dict(kept)
    return predict


class Preparation:
    """Quantiles of numbers as those of a normal distribution, and codes of categories, of which one stands for missing.

    Missing numbers become the median. Columns that are constant in training are left out: they have no bins.
    """

    def __init__(self, problem: Problem) -> None:
        from sklearn.preprocessing import QuantileTransformer

        self._categorical = problem.categorical
        numbers = problem.X.drop(columns=self._categorical)
        self._numbers = [name for name in numbers if numbers[name].nunique() > 1]
        self._medians = numbers.median()
        self.cardinalities = [len(problem.X[name].cat.categories) + 1 for name in self._categorical]
        values = self._filled(problem.X)
        noise = np.random.default_rng(problem.seed).normal(0, NOISE, values.shape).astype(np.float32)
        quantiles = max(min(len(values) // ROWS_PER_QUANTILE, MAX_QUANTILES), MIN_QUANTILES)
        self._transformer = QuantileTransformer(n_quantiles=quantiles, output_distribution="normal", subsample=10**9)
        if self._numbers:
            self._transformer.fit(values + noise)

    def _filled(self, X: Any) -> np.ndarray:
        return X[self._numbers].fillna(self._medians).to_numpy(np.float32)

    def __call__(self, X: Any) -> tuple[Any, Any]:
        """Tensors of shape (rows, numbers) and (rows, categories)."""
        import torch

        values = self._filled(X)
        if self._numbers:
            values = self._transformer.transform(values)
        codes = [X[name].cat.codes.to_numpy(np.int64) + 1 for name in self._categorical]
        codes = np.stack(codes, axis=1) if codes else np.empty((len(X), 0), np.int64)
        return torch.as_tensor(values, dtype=torch.float32), torch.as_tensor(codes)
