"""A fifth round (W): chosen from the sources alone, by someone who had not read the tests."""

from faults import Fault

FAULTS = [
    Fault(
        "W02",
        'require(!epilogue.keeps_derivative() || z, "the derivative of this activation needs z");',
        'if (z) require(z->ndim() == 2, "z must have 2 dimensions");',
    ),  # ops.activation_gradient(output, grad, 'silu') without z: the ValueError is lost and a wron
    Fault(
        "W04",
        "return f\"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}p{exponent}\"",
        "return f\"{mantissa.rstrip('0.') if '.' in mantissa else mantissa}p{exponent}\"",
    ),  # net.to_c() of a network with a parameter that is exactly 0, such as the biases of a new on
    Fault(
        "W05", "else if (settings.l1 != 0)", "else"
    ),  # MLPClassifier(solver='sgd', momentum=1.0).fit(X, y): the threshold is 0 / 0, all weights b
    Fault(
        "W06",
        "const std::int32_t* columns = inputs_.column_index + begin;",
        "const std::int32_t* columns = inputs_.column_index + inputs_.first_value(source);",
    ),  # net.forward(csr) with more than 64 stored values in a row: values from the 65th on land in
    Fault(
        "W09", "++forks_;", "interpreter_ends_ = false;"
    ),  # os.fork() while another thread fits a network: in the child a fit, set_parameters or save
    Fault(
        "W10", "if self._best is None: info.save(self._path)", "info.save(self._path)"
    ),  # Checkpoint(path, best='val_loss') in a fit whose last epoch is worse than an earlier one:
    Fault(
        "W15", "rules_.weights.l1 != 0 || rules_.weights.l2 != 0 ||", "rules_.weights.l2 != 0 ||"
    ),  # Trainer(net, l1=0.01) with SGD (subgradient) on a CSR matrix: weights of columns that no r
    Fault(
        "W16",
        "yield from data.epoch(self._rng if self.shuffle else None, threads)",
        "yield from data.epoch(self._rng, threads)",
    ),  # Trainer(net, shuffle=False).fit(Stream.of_rows(X, y, chunk_rows=64), None, 1): blocks come
    Fault(
        "W17", "return Trainer(network, seed=seed,", "return Trainer(network,"
    ),  # studies.compare(..., seeds=[3]): the row orders are those of seed 0, so the result differs
    Fault(
        "W18",
        'CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_", "history_")',
        'CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_")',
    ),  # history = model.history_; model.partial_fit(X, y): the history taken before grows too, and
    Fault(
        "W22", "const V e = expm1<T>(abs(z) + abs(z));", "const V e = exp<T>(abs(z) + abs(z)) - V::broadcast(1);"
    ),  # ops.tanh of small values loses its digits: ops.tanh(np.full((1, 1), 1e-9, 'float32')) is 0
    Fault(
        "W24", "updates_ = snapshot_updates_;", "prefetched_ = {};"
    ),  # an Adam fit that diverges in a later epoch: after the DivergenceError the count of updates
    Fault(
        "W28", "values *= used[rank] / used.sum()", "values /= self._communicator.size"
    ),  # distributed.Trainer(sync_every=2) on two ranks with 100 and 20 rows: the mean is not weigh
    Fault(
        "W30",
        "if (i < m) add_some_rows<T, 1, count>(c + i * c_stride, 0, columns, a + i * a_stride, 0, rows);",
        "if (i < m) add_some_rows<T, 1, count>(c + i * c_stride, 0, columns, a, 0, rows);",
    ),  # MLPClassifier.predict_proba(X[:3]) (any odd number of 3 to 23 dense rows): the last row is
    Fault(
        "W32", ", key=lambda name: [*map(int, parts[name][1::2])])", ")"
    ),  # Network.from_state_dict(net.to_state_dict(), ...) of a network with six or more layers: la
    Fault(
        "W33",
        "correct += losses.correct.data()[i] * static_cast<double>(losses.weight.data()[i]) * factor;",
        "correct += losses.correct.data()[i] * static_cast<double>(losses.weight.data()[i]);",
    ),  # Trainer.fit(X, y, 3, sample_weight=np.full(n, 5.0)): history.accuracy exceeds 1 (five time
    Fault(
        "W34",
        "self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)",
        "self._label_binarizer = LabelBinarizer().fit(y)",
    ),  # MLPClassifier().partial_fit(X, y, classes=[0, 1, 2]) with a first y of 0 and 1 only: predi
    Fault(
        "W35", "trainer.set_updates(updates);", "trainer.set_updates(trainer.updates());"
    ),  # Trainer.resume (or unpickling) of an Adam trainer: the bias correction starts anew, so the
    Fault(
        "W38",
        "if (pool && pool->forks_ == forks.load(std::memory_order_relaxed)) return *pool;",
        "if (pool) return *pool;",
    ),  # a fit with several threads, os.fork(), and a fit with several threads in the child: the ch
    Fault(
        "W40",
        "const int64_t batches_left = (rows_ - update_begin + batch_size_ - 1) / batch_size_;",
        "const int64_t batches_left = (rows_ - batch_begin + batch_size_ - 1) / batch_size_;",
    ),  # Trainer(net, batch_size=8, accumulate=4, shuffle=False).fit on 72 rows (9 batches): the up
]
