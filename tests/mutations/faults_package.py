"""Faults of the Python package: trainers, estimators, streams, ranks, files, exporters, studies, plots and checks."""

from faults import Fault

FAULTS = [
    # from the first round
    Fault("P03", "info.save(self._path) self._last = time.monotonic()", "info.save(self._path)"),
    Fault("P04", "value < self._best_value + self.tol else 0", "value <= self._best_value + self.tol else 0"),
    Fault(
        "P08",
        "return any([_wants_to_stop(callback, info) for callback in callbacks])",
        "return any(_wants_to_stop(callback, info) for callback in callbacks)",
    ),  # callbacks after one that stops are not called
    Fault(
        "P09", "return self._call(self._callbacks, info)", "return self._call(self._callbacks[:1], info)"
    ),  # an epoch calls its first callback only
    Fault("P10", "epoch, updates_before + update)", "epoch, update)"),  # the step within the chunk
    Fault("P12", "self._checked = self._stream._same_each_epoch", "self._checked = True"),
    Fault("P21", "cls(values, xlabel, ylabel, xticks, yticks,", "cls(values, ylabel, xlabel, xticks, yticks,"),
    Fault("P24", '"n_threads", *other', '"n_threads", "shuffle", *other'),  # ranks may differ in it
    Fault("P27", "(outputs > 0.5).astype(np.int64)", "(outputs >= 0.5).astype(np.int64)"),
    Fault("P32", "if y.max() >= classes:", "if y.max() > classes:"),
    Fault("P34", "classes[j] = outputs[j] > {half};", "classes[j] = outputs[j] >= {half};"),
    # estimators
    Fault(
        "P35",
        "self._initial_rate / (rows_so_far + 1) ** self._power_t",
        "self._initial_rate / rows_so_far**self._power_t",
    ),  # invscaling is a little off
    Fault("P36", "self.alpha / data.weight", "self.alpha / data.rows"),  # alpha of weighted rows in "lbfgs"
    Fault(
        "P37", "Fit(threading.get_ident(), _snapshot(estimator))", "Fit(threading.get_ident(), estimator)"
    ),  # a refused fit leaves traces
    Fault(
        "P38", "not np.array_equal(known, unique_labels(classes))", "not np.array_equal(known, classes)"
    ),  # the same classes in another order are refused
    Fault("P39", "r2_score(encoded, self._targets(outputs),", "r2_score(self._targets(outputs), encoded,"),
    Fault("P40", "== encoded).all(axis=1)", "== encoded).any(axis=1)"),  # one right label of several is a hit
    # Trainer, Network
    Fault("P41", "update, update - 2)", "update, update - 1)"),  # weights after the update that diverged
    Fault("P42", "return self._history.copy()", "return self._history"),  # Trainer.history is no copy
    Fault("P43", "if core.parameters_version == before: return", "return"),  # a fit within a save goes unnoticed
    Fault(
        "P44",
        "with self.core.lock_parameters():\n            self.set_trusted",
        "with contextlib.nullcontext():\n            self.set_trusted",
    ),  # set_parameters during a fit
    # ranks
    Fault("P45", "(rank < batch % size)", "(rank <= batch % size)"),  # batches of one row too many
    Fault("P46", "core.updates = updates_before + end - begin", ""),  # a rank without rows counts no updates
    Fault(
        "P47",
        "self._received.shape != shape or self._received.dtype != buffer.dtype",
        "self._received.shape != shape",
    ),  # float32 after float64 of the same length
    Fault("P48", "return cores.count(_affinity())", "return len(cores)"),  # ranks that are pinned get too few threads
    # streams, data sets
    Fault(
        "P49", "buffers and buffers[i % len(buffers)]", "buffers and buffers[0]"
    ),  # the next chunk overwrites this one
    Fault("P50", "if status.st_size != self._status.st_size:", "if status.st_size < self._status.st_size:"),  # it grew
    Fault("P51", "draw_digits(test_samples, seed, stream=1)", "draw_digits(test_samples, seed, stream=0)"),
    Fault(
        "P52", "X[..., 0] = axis[:, None] X[..., 1] = axis", "X[..., 1], X[..., 0] = axis[:, None], axis"
    ),  # x1 varies fastest
    Fault(
        "P53",
        "random.random((_CHUNK, rows, columns), dtype=np.float32)[:count]",
        "random.random((count, rows, columns), dtype=np.float32)",
    ),  # fewer samples are not the first of more
    Fault("P54", "(3 * cross.sum())", "(2 * cross.sum())"),  # digits are not centred by mass
    Fault("P55", "if size > max_bytes:", "if size >= max_bytes:"),
    # checks
    Fault("P56", "if abs(scale) > 1 and", "if scale > 1 and"),  # a scale of -1e30 overflows unnoticed
    Fault("P57", "< below for each in (number, rounded)", "< below for each in (number,)"),  # 1e-50 is 0 in float32
    Fault(
        "P58",
        'transpose_b = validation.check_flag("transpose_b", transpose_b)',
        "",
    ),  # any object passes as a flag
    Fault(
        "P59",
        'requirements=["C", "A"]) for array in arrays.values()',
        'requirements=["A"]) for array in arrays.values()',
    ),  # ops refuse other layouts
    # files
    Fault(
        "P60", '[take_finite(fields, arrays, f"biases.{i}"', '[take(fields, arrays, f"biases.{i}"'
    ),  # a model file with NaN in a bias
    Fault("P61", '!= "checkpoint" or not _of_checkpoint(name)', '!= "checkpoint" and not _of_checkpoint(name)'),
    Fault("P62", '"uinteger": rows["uinteger"]', '"uinteger": 0'),  # half a random number is lost
    Fault(
        "P63",
        "{name: self.values[name] for name in optimizers.TABLE[self.optimizer].settings}",
        '{name: self.values[name] for name in optimizers.TABLE[self.optimizer].settings if name != "momentum"}',
    ),  # momentum is forgotten
    Fault("P64", "_sync(descriptor) os.replace(unfinished, path)", "os.replace(unfinished, path)"),  # not on the disk
    Fault("P65", "os.ftruncate(descriptor, 0)", ""),  # the end of a longer unfinished file stays
    # exporters
    Fault("P66", "{x} = {x} < 0 ? 0 : {x};", "{x} = {x} > 0 ? {x} : 0;"),  # relu in C swallows NaN
    Fault(
        "P67", 'if spec.input_scale != 1: values = add("Mul"', 'if spec.input_scale > 1: values = add("Mul"'
    ),  # ONNX without a scale of 1/255
    Fault("P68", "onnx.helper.set_model_props(graph_model, metadata)", ""),
    Fault("P69", "[*map(int, parts[name][1::2])]", "parts[name][1::2]"),  # layer 10 comes before layer 2
    Fault(
        "P70", 'training_data.check_finite(name, arrays["weights.0"], spec.dtype, default_thread_count())', ""
    ),  # a folded scale may overflow
    # many nets, studies
    Fault("P71", "-cost[index]", "cost[index]"),  # the longest start last
    Fault(
        "P72", "(spec.layer_sizes[0], spec.dtype, spec.input_scale)", "(spec.layer_sizes[0], spec.dtype)"
    ),  # inputs are checked for the first net's scale only
    Fault("P73", "round(first * ratio**layer)", "int(first * ratio**layer)"),
    Fault(
        "P74", '{"proximal": True} if norm == "l1"', '{"proximal": True} if norm == "l2"'
    ),  # l1 leaves no exact zeros
    Fault(
        "P75", "n_threads=workers if study.n_threads is None else study.n_threads", "n_threads=study.n_threads"
    ),  # joblib's n_jobs is not heeded
    Fault("P76", 'name not in _OF_NETWORK + _OF_TRAINER or name == "seed"', "name not in _OF_NETWORK + _OF_TRAINER"),
    # L-BFGS
    Fault("P77", "if not math.isfinite(sum(latest)):", "if math.isnan(sum(latest)):"),  # inf is accepted
    Fault("P78", "loop.epoch + 1)", "loop.epoch)"),  # the iteration before the one that diverged
    # callbacks, threads, progress, plots
    Fault(
        "P79",
        "if cost < so_far.best - self._min_delta:",
        "if cost <= so_far.best - self._min_delta:",
    ),
    Fault("P80", "for depth in range(len(parts) + 1):", "for depth in range(len(parts)):"),  # the own quota is missed
    Fault("P81", "_fits.remove(thread)", "pass"),  # later fits share the cores with those that have ended
    Fault("P82", "text[:width].ljust(min(len(self._text), width))", "text[:width]"),  # the end of a longer line stays
    Fault(
        "P83",
        "if now - self._last_drawn >= SECONDS_BETWEEN_REDRAWS:",
        "if True:",
    ),  # redrawn more than ten times a second
    Fault("P84", "float(np.abs(self.images).max()) or 1.0", "float(self.images.max()) or 1.0"),  # white is not zero
    # one activation for each hidden layer
    Fault("P85", "[*activation, activation[-1]]", "[*activation, activation[0]]"),  # the output layer's initial weights
    Fault(
        "P86", "ACTIVATIONS_VERSION return ENSEMBLE_VERSION", "FORMAT_VERSION return ENSEMBLE_VERSION"
    ),  # older readers call the file damaged
    Fault("P87", '''return "" if isinstance(spec.activation, str) else f"activations.{layer}."''', '''return ""'''),
    Fault("P88", """columns["activation"] = activations.text_of(columns["activation"])""", "pass"),
    Fault("P89", "if all(pair == pairs[0] for pair in pairs):", "if all(name == names[0] for name in names):"),
    # what newcomers stumbled over
    Fault("Q01", "if self._restores and is_smallest:", "if self._restores:"),  # the last weights, not the best
    Fault("Q02", "is_smallest = cost < so_far.smallest", "is_smallest = cost <= so_far.smallest"),
    Fault(
        "Q03", '"""Set the learning rate of the first epoch.""" self(info)', '"""Set the learning rate."""'
    ),  # it has the trainer's
    Fault("Q04", "sign = -1 if self._larger_is_better else 1", "sign = 1"),
    Fault("Q05", "if y.ndim == 1 and outputs.shape[1] == 1:", "if outputs.shape[1] == 1:"),
    Fault("Q06", "targets.shape[1] == 1 and np.ndim(y) == 2", "targets.shape[1] == 1"),  # predict - y broadcasts
    Fault("Q07", "(targets[j] > T(0.5)) && z[j] == z[j]", "(targets[j] > T(0.5))"),  # NaN is right for 0
    Fault("Q08", 'np.cumsum(_by_seed(own, "seconds", epochs), axis=1)', '_by_seed(own, "seconds", epochs)'),
    Fault("Q09", "self._of_each[self._of(info)] = _Waiting(info.begin)", "pass"),  # one after an error counts on
]
