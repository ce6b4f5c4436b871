"""Two further rounds: chosen from the sources alone, when the tests were written, without a look at them."""

from faults import Fault

FAULTS = [
    # cpp/kernels
    Fault("X01", "highest = 709.4;", "highest = 709.78;"),  # float64 exp is NaN just below its limit
    Fault(
        "X02", "(sums[0] + sums[1]) + (sums[2] + sums[3])", "(sums[0] + sums[1]) + (sums[2] + sums[2])"
    ),  # forward overlooks NaN in each fourth vector
    Fault(
        "X03", "constexpr int64_t short_sum = 32 * V::lanes;", "constexpr int64_t short_sum = 32 * 4096 * V::lanes;"
    ),  # float32 penalties lose digits in large layers
    Fault(
        "X04", "log1p_degree = sizeof(T) == 4 ? 7 : 16;", "log1p_degree = sizeof(T) == 4 ? 7 : 9;"
    ),  # float64 binary cross-entropy errs by 1e-11
    Fault(
        "X05",
        "return a.v[i] < b.v[i] ? a.v[i] : b.v[i];",
        "return b.v[i] < a.v[i] ? b.v[i] : a.v[i];",
        isa="generic",
    ),  # exp of NaN is a number: logistic, softmax
    Fault(
        "X06", "const KernelTable& table = wanted && *wanted ?", "const KernelTable& table = wanted ?"
    ),  # an empty FASTMLP_ISA is refused at import
    # cpp/linalg
    Fault(
        "X07",
        "static_cast<T>(std::min<double>(limit, std::numeric_limits<T>::max()))",
        "static_cast<T>(limit)",
    ),  # float32 inf passes the check of a float64 network
    Fault(
        "X08", "if (m == 0 || n == 0) return;", "if (m == 0 || n == 0 || k == 0) return;"
    ),  # a product over no inner dimension is not zeros
    Fault(
        "X09", "return std::min(omp_get_max_threads(), max_workers());", "return omp_get_max_threads();"
    ),  # OMP_NUM_THREADS=500 is believed by the default
    # cpp/nn
    Fault(
        "X10",
        "batch.max_term < loss ? batch.max_term : loss",
        "loss < batch.max_term ? loss : batch.max_term",
    ),  # a NaN cross-entropy is reported as inf, or clipped
    Fault(
        "X11",
        "kernels().norms(layer.biases().data(), layer.biases().size(), sums);",
        "kernels().norms(layer.weights().data(), layer.weights().size(), sums);",
    ),  # infinite biases at an epoch's end go unnoticed
    Fault(
        "X12",
        "data.targets_from(begin + part.begin, z.columns)",
        "data.targets_from(begin, z.columns)",
    ),  # held-out rows from 128 on get others' weights
    Fault(
        "X13",
        "std::upper_bound(row_starts_.begin(), row_starts_.end(), value)",
        "std::lower_bound(row_starts_.begin(), row_starts_.end(), value)",
    ),  # a CSR row's first value is said to be in the row above
    Fault(
        "X14",
        "sum.penalty += static_cast<double>(batch.update_rows()) * penalty(",
        "sum.penalty += static_cast<double>(batch.rows()) * penalty(",
    ),  # estimators' penalty too small for batches over 256 rows
    Fault("X15", "updates_ = snapshot_updates_;", "updates_ += 0;"),  # Adam's count of updates survives a divergence
    # cpp/bindings
    Fault(
        "X16", "constexpr double short_operations = 1e6;", "constexpr double short_operations = 1e9;"
    ),  # predictions hold Python's lock for 10 ms and more
    Fault(
        "X17",
        "owner = {std::this_thread::get_id(), ReleasedGil::forks(), owner.version + 1};",
        "owner = {std::this_thread::get_id(), ReleasedGil::forks(), owner.version};",
    ),  # a copy does not notice a fit that came and went meanwhile
    Fault(
        "X18",
        "position = core.sum_gradients(data, plan, position, sums, threads(), SECONDS_PER_CALL)\n    return",
        "position = core.sum_gradients(data, plan, position, sums, threads(), math.inf)\n    return",
    ),  # Ctrl-C in L-BFGS waits for a whole pass over the rows
    # python/fastmlp
    Fault("X19", "max(1, math.ceil(quota))", "max(1, math.floor(quota))"),  # a quota of 1.5 cores gives one thread
    Fault(
        "X20", '{**settings, "proximal": True}', '{"proximal": True, **settings}'
    ),  # settings can turn a path's proximal steps off
    Fault(
        "X21",
        'if row["epoch"] == last or not np.isfinite(row[value]):',
        'if row["epoch"] == last:',
    ),  # a cell hides that one of its nets diverged
    Fault(
        "X22", ".ljust(min(len(self._text), width))", ".ljust(min(len(text), width))"
    ),  # a shorter line leaves the longer one's tail
    Fault(
        "X23", "raise Stop\n        clock = time.perf_counter()", "raise Stop"
    ),  # L-BFGS: seconds add up, with callbacks
    Fault(
        "X24",
        "kind_of_target = (network.loss, network.layer_sizes[-1], network.dtype)",
        "kind_of_target = (network.layer_sizes[-1], network.dtype)",
    ),  # fit_many checks y's range for the first loss only
    Fault("X25", "_same_each_epoch = False", "_same_each_epoch = True"),  # later epochs of chunks go unchecked
    Fault("X26", "_DEFLATE_LIMIT = 1032", "_DEFLATE_LIMIT = 1000"),  # a .gz of all black images is refused
    Fault(
        "X27",
        "self._watched, self._best_value = self.stopping_metric, -math.inf",
        "self._watched = self.stopping_metric",
    ),  # warm start with another metric: never an improvement
    Fault(
        "X28", "roundings = 4 * float(np.finfo(dtype).eps)", "roundings = 0 * float(np.finfo(dtype).eps)"
    ),  # X whose scaled value overflows passes the check
    Fault(
        "X29", 'add("Greater", [values, "half"], "likely")', 'add("GreaterOrEqual", [values, "half"], "likely")'
    ),  # ONNX: a probability of exactly 1/2 is a yes
    Fault("X30", '"proximal": self._proximal,', ""),  # ranks may differ in proximal unnoticed
    # the second of them; more than half are faults of the other lists again
    # cpp/kernels
    Fault(
        "Y01",
        "select_less(V::broadcast(C::highest), x, V::broadcast(infinity<T>()), fma(power, tail, power))",
        "fma(power, tail, power)",
    ),  # exp saturates at 2e38 instead of becoming inf
    Fault(
        "Y02", "batch.correct[i] = column == label && sum == sum;", "batch.correct[i] = column == label;"
    ),  # a row of NaN counts as hit for label 0
    Fault(
        "Y03", "min(V::broadcast(batch.max_term), value)", "min(value, V::broadcast(batch.max_term))"
    ),  # NaN loss hidden as the clip
    Fault("Y04", "(sums[2] + sums[3])", "(sums[2] + sums[2])"),  # forward misses NaN in each fourth vector
    Fault("Y05", "short_sum = 32 * V::lanes", "short_sum = 32768 * V::lanes"),  # float32 penalty loses digits
    # cpp/linalg
    Fault(
        "Y06", "static_cast<T>(std::min<double>(limit, std::numeric_limits<T>::max()))", "static_cast<T>(limit)"
    ),  # float32 inf passes the check of a float64 network
    Fault(
        "Y07",
        "while (at < earliest && !found.compare_exchange_weak(earliest, at)) { }",
        "if (earliest == size) found.store(at);",
    ),  # reports the bad value found first, not the first
    Fault("Y08", "threads = std::min(threads, max_workers());", ""),  # no cap on a team's size
    # cpp/nn
    Fault(
        "Y09", "static_cast<double>(batch.update_rows()) * penalty(", "static_cast<double>(batch.rows()) * penalty("
    ),  # batch > 256: too small
    Fault("Y10", "i < batch.update_end; ++i)", "i < batch.end; ++i)"),  # sample weights of the first micro-batch only
    Fault("Y11", "rules_.weights.l2 != 0 ||", ""),  # l2 or alpha alone does not decay weights of zero columns
    Fault("Y12", "updates_ = snapshot_updates_;", ""),  # Adam's step count not restored after divergence
    Fault(
        "Y13", "kernels().norms(layer.biases().data(), layer.biases().size(), sums);", ""
    ),  # biases of inf are not seen as divergence
    Fault(
        "Y14",
        "if (rows <= reserved_rows_ && columns <= reserved_columns_) return;",
        "if (rows <= reserved_rows_) return;",
    ),  # inputs too narrow after a CSR fit with short rows
    # cpp/bindings
    Fault(
        "Y15", "targets_from(begin + part.begin,", "targets_from(part.begin,"
    ),  # later parts evaluated with the first rows' weights
    Fault(
        "Y16",
        "const ReleasedGil released; position = trainer.sum_gradients(",
        "position = trainer.sum_gradients(",
    ),  # L-BFGS keeps Python's lock
    Fault("Y17", 'each = py::getattr(each, "base"))', "each = py::none())"),  # a view's base is not pinned
    # python
    Fault(
        "Y18", 'elif "cpu" in controllers.split(","):', 'elif "cpu" in controllers:'
    ),  # cpuset's path counts as cpu's
    Fault("Y19", "biases = [_take_finite(", "biases = [take("),  # load accepts biases of NaN or inf
    Fault(
        "Y20",
        'validation.check_integer("train_sizes", size, 1, len(y))',
        'validation.check_integer("train_sizes", size, 1)',
    ),  # train_sizes beyond the rows accepted
    Fault(
        "Y21", "text[:width].ljust(min(len(self._text), width))", "text[:width]"
    ),  # rest of a longer progress line stays on the terminal
    Fault("Y22", '"{x} = {x} < 0 ? 0 : {x};"', '"{x} = {x} > 0 ? {x} : 0;"'),  # exported relu swallows NaN
    Fault(
        "Y23", "self._checked = self._stream._same_each_epoch", "self._checked = True"
    ),  # own streams: values unchecked from epoch 2
    Fault(
        "Y24", "r2_score(encoded, outputs, sample_weight=weights)", "r2_score(encoded, outputs)"
    ),  # early stopping's R^2 without weights
    Fault(
        "Y25", "np.result_type(*self.coefs_), clips_loss=False)", "np.result_type(*self.coefs_))"
    ),  # to_network reports clipped losses
    Fault("Y26", "raise Stop clock = time.perf_counter()", "raise Stop"),  # fit_lbfgs: seconds accumulate
    Fault(
        "Y27", "trainer.save(self._path) self._last = time.monotonic()", "trainer.save(self._path)"
    ),  # every_seconds: later epochs all save
    Fault(
        "Y28", 'if row["epoch"] == last or not np.isfinite(row[value]):', 'if row["epoch"] == last:'
    ),  # heat map ignores seeds that diverged
    Fault(
        "Y29",
        "kind = (network.layer_sizes[0], network.dtype, network.input_scale)",
        "kind = (network.layer_sizes[0], network.dtype)",
    ),  # fit_many: range checked for one scale only
    Fault(
        "Y30", "epoch, updates_before + found.update) from None", "epoch, found.update) from None"
    ),  # error.step counts from the stream's chunk
]
