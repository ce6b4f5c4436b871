"""Three further rounds (X, Y, Z): chosen from the sources alone, when the tests were written, without a look at them."""

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
        "++owner.version;",
        ";",
    ),  # a copy does not notice a fit that came and went meanwhile
    Fault(
        "X18",
        "position = core.sum_gradients(data.core, plan, position, sums, threads(), SECONDS_PER_CALL)",
        "position = core.sum_gradients(data.core, plan, position, sums, threads(), math.inf)",
    ),  # Ctrl-C in L-BFGS waits for a whole pass over the rows
    # python/fastmlp
    Fault("X19", "max(1, math.ceil(quota))", "max(1, math.floor(quota))"),  # a quota of 1.5 cores gives one thread
    Fault(
        "X20", "_check_varied(settings, norm, *own)", "_check_varied(settings, norm)"
    ),  # settings can turn a path's proximal steps off without a word
    Fault(
        "X21",
        "np.mean([row[value] for row in own])",
        "np.nanmean([row[value] for row in own])",
    ),  # a cell hides that one of its nets diverged
    Fault(
        "X22", ".ljust(min(len(self._text), width))", ".ljust(min(len(text), width))"
    ),  # a shorter line leaves the longer one's tail
    Fault(
        "X23", "raise Stop\n        clock = time.perf_counter()", "raise Stop"
    ),  # L-BFGS: seconds add up, with callbacks
    Fault(
        "X24",
        "(spec.loss, spec.layer_sizes[-1], spec.dtype, spec.levels, standardization)",
        "(spec.layer_sizes[-1], spec.dtype, spec.levels, standardization)",
    ),  # fit_many checks y's range for the first loss only
    Fault("X25", "_same_each_epoch = False", "_same_each_epoch = True"),  # later epochs of chunks go unchecked
    Fault("X26", "_DEFLATE_LIMIT = 1032", "_DEFLATE_LIMIT = 1000"),  # a .gz of all black images is refused
    Fault(
        "X27",
        "self._metric_of_best, self._best_value = self.stopping_metric, -math.inf",
        "self._metric_of_best = self.stopping_metric",
    ),  # warm start with another metric: never an improvement
    Fault(
        "X28", "roundings = 4 * float(np.finfo(dtype).eps)", "roundings = 0 * float(np.finfo(dtype).eps)"
    ),  # X whose scaled value overflows passes the check
    Fault(
        "X29", 'make("Greater", [outputs, "half"]', 'make("GreaterOrEqual", [outputs, "half"]'
    ),  # ONNX: a probability of exactly 1/2 is a yes
    Fault("X30", '"n_threads", *other', '"n_threads", "proximal", *other'),  # ranks may differ in proximal unnoticed
    # the second of them; more than half are faults of the other lists again
    # cpp/kernels
    Fault(
        "Y01",
        "select_less(V::broadcast(C::highest), x, V::broadcast(infinity<T>()), value)",
        "value",
    ),  # exp saturates at 2e38 instead of becoming inf
    Fault(
        "Y02", "batch.correct[i] = is_label && sum == sum;", "batch.correct[i] = is_label;"
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
    Fault(
        "Y08", "std::min({threads, max_workers(), thread_limit()})", "std::min(threads, max_workers())"
    ),  # OMP_THREAD_LIMIT
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
        "if (rows <= reserved_rows_ && columns <= reserved_columns_ && (!drops_ || !dropped_.empty())) return;",
        "if (rows <= reserved_rows_ && (!drops_ || !dropped_.empty())) return;",
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
    Fault("Y19", "biases = [take_finite(", "biases = [take("),  # load accepts biases of NaN or inf
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
        "Y24", "self._targets(outputs), sample_weight=weights)", "self._targets(outputs))"
    ),  # early stopping's R^2 without weights
    Fault(
        "Y25", "np.result_type(*self.coefs_), clips_loss=False)", "np.result_type(*self.coefs_))"
    ),  # to_network reports clipped losses
    Fault("Y26", "raise Stop clock = time.perf_counter()", "raise Stop"),  # fit_lbfgs: seconds accumulate
    Fault(
        "Y27", "info.save(self._path) self._last = time.monotonic()", "info.save(self._path)"
    ),  # every_seconds: later epochs all save
    Fault("Y28", "if other is row:", "if other is not None:"),  # rows of several networks are drawn as one
    Fault(
        "Y29", "(spec.layer_sizes[0], spec.dtype, spec.input_scale)", "(spec.layer_sizes[0], spec.dtype)"
    ),  # fit_many: range checked for one scale only
    Fault("Y30", "epoch, updates_before + update)", "epoch, update)"),  # error.step counts from the stream's chunk
    # the third round
    # cpp/kernels
    Fault(
        "Z01",
        "first_lanes<T>(left, term.gradient * V::broadcast(batch.scale), V::zero()).store(z + j)",
        "(term.gradient * V::broadcast(batch.scale)).store(z + j)",
    ),  # poisson: the outputs' padding gets a gradient and its weights grow: penalties (l1, l2, alpha) are too large
    Fault(
        "Z02",
        "fma(a_k, V::load(b + p * panel_stride + kk * width + j * V::lanes), sum[p][j])",
        "sum[p][j] + a_k * V::load(b + p * panel_stride + kk * width + j * V::lanes)",
    ),  # not fused on AVX2: a row predicted alone by a layer of >= 4 full panels has other bits than among others
    Fault(
        "Z03", "rule.l1 != 0 || rule.l2 != 0", "rule.l2 != 0"
    ),  # l1 by its subgradient without l2 is forgotten with momentum, Adam and updates of several chunks
    Fault(
        "Z04",
        "fma(power, tail, power - Vec<T>::broadcast(1))",
        "fma(power, tail, power) - Vec<T>::broadcast(1)",
    ),  # tanh of small numbers loses its digits: tanh(1e-9) is 0
    # cpp/linalg
    Fault(
        "Z05", "threads = 1 + pool.grow(threads - 1);", "pool.grow(threads - 1);"
    ),  # where the system refuses a thread, the team has a member that does not exist
    Fault(
        "Z06", "std::abs(x[at]) <= max_magnitude", "std::abs(x[at]) < max_magnitude"
    ),  # with the dtype's largest number before a NaN, the message names the wrong place and blames another thread
    Fault(
        "Z07", "pool->forks_ == forks.load(std::memory_order_relaxed)", "true"
    ),  # a child of fork waits for threads of its parent
    # cpp/nn
    Fault(
        "Z08", "began_finite && !std::isfinite(sum.loss)", "began_finite && std::isnan(sum.loss)"
    ),  # a loss of inf goes unnoticed until it is nan: DivergenceError's step and the weights kept are an update late
    Fault(
        "Z09",
        "find_columns(worker, epoch, first, batches_[side]); worker.wait_for_all();",
        "find_columns(worker, epoch, first, batches_[side]);",
    ),  # a worker lists the columns of a slice's first chunk before others have looked: sparse data, several threads
    Fault(
        "Z10", "updates_ += epoch.updates && batch.is_last();", "updates_ += epoch.updates;"
    ),  # chunks are counted, not updates: Adam's bias correction is off for batches beyond 256 rows and accumulation
    Fault(
        "Z11", "Buffer<T>(size + kernels_.lanes)", "Buffer<T>(size)"
    ),  # distributed: what travels with the gradients overwrites those of the last biases where no padding is left
    Fault(
        "Z12", "weight > 0 ? rows / weight : 0", "rows / weight"
    ),  # a mini-batch whose sample weights are all zero makes the epoch's loss nan
    Fault(
        "Z13", "sizes.back(), clips_loss);", "sizes.back(), false);"
    ),  # the estimators' validation loss is not clipped at the dtype's epsilon: inf or larger than scikit-learn's
    # cpp/bindings
    Fault(
        "Z14", "data->inputs_pin = pin_inputs(inputs);", ""
    ),  # X.resize(..., refcheck=False) in a callback moves the memory that the fit reads
    Fault(
        "Z15", "interpreter_ends_ && std::this_thread::get_id() != ending_thread_", "interpreter_ends_"
    ),  # an atexit function of the main thread that predicts or fits gets SystemExit
    Fault(
        "Z16",
        "LossSum total = sum; { const ReleasedGil released; network.evaluate(",
        "LossSum total; { const ReleasedGil released; network.evaluate(",
    ),  # evaluate on more rows than one native call takes counts the last call's losses and hits only
    # python/fastmlp
    Fault(
        "Z17", ', "ftol": float(np.finfo(float).eps)', ""
    ),  # lbfgs: fit_lbfgs ends at SciPy's ftol of 2e-9, long before the loss rests in double precision
    Fault(
        "Z18", "len(info.history.loss) % self._every_epochs", "info.epoch % self._every_epochs"
    ),  # callbacks: Checkpoint counts the epochs of this fit, not those before it or before a resume
    Fault(
        "Z19",
        'settings[name] = read(f"trainer.{name}")',
        'settings[name] = setting.default if isinstance(setting, validation.Flag) else read(f"trainer.{name}")',
    ),  # checkpoints: a resumed trainer has lost Nesterov's momentum
    Fault(
        "Z20", "if (outputs[j] > outputs[best]) best = j;", "if (outputs[j] >= outputs[best]) best = j;"
    ),  # c_export: among equal outputs NAME_predict names the last class, Network.predict the first
    Fault(
        "Z21", "array.shape != shape or array.dtype != dtype", "array.shape != shape"
    ),  # model_files: a file whose tensors have mixed dtypes is loaded, or a checkpoint's is a TypeError
    Fault(
        "Z22", "len(os.fsencode(name)) + len(SUFFIX)", "len(name) + len(SUFFIX)"
    ),  # atomic_files: saving under a long name of letters beyond ASCII is an OSError, although the name is allowed
    Fault("Z23", "self._stream.rows = rows", ""),  # streaming: Stream.rows stays None after an epoch
    Fault(
        "Z24", "self._check_same()", ""
    ),  # distributed: settings that a callback changes differently on the ranks are no error; the ranks drift apart
    Fault(
        "Z25", "with lock: return function(*arguments, **more)", "return function(*arguments, **more)"
    ),  # many: fit_many calls callbacks from several threads at the same time
    Fault(
        "Z26", "X = X.copy()", ""
    ),  # validation: the caller's CSR matrix with unsorted or doubled indices is changed in place
    Fault(
        "Z27",
        "core_calls.evaluate(network, rows.data, threads).loss * self._loss_factor(network)",
        "core_calls.evaluate(network, rows.data, threads).loss",
    ),  # fitting: the validation loss of a regressor with several outputs is their sum, not their mean
    Fault(
        "Z28", "if encoded.ndim == 2 and encoded.shape[1] == 1 else", "if encoded.ndim == 2 else"
    ),  # estimators: early stopping on several labels stratifies its split: other rows than scikit-learn's, or an error
    Fault(
        "Z29", "self._stream.flush() except Exception:", "self._stream.flush()\n        except OSError:"
    ),  # progress: a stderr that has been closed (ValueError) ends a verbose fit
    Fault(
        "Z30", "(OSError, EOFError, zlib.error)", "(OSError, EOFError)"
    ),  # idx: damaged data in a .gz file is a zlib.error, not a DataFileError
    # The fourth round: chosen from the sources of one commit, by someone who had not read the tests.
    Fault(
        "V01",
        "return select_less(Vec<T>::zero(), output, g, Vec<T>::broadcast(settings[0]) * g);",
        "return select_less(output, Vec<T>::zero(), Vec<T>::broadcast(settings[0]) * g, g);",
    ),  # leaky_relu's derivative at 0 is 1 instead of the documented slope; with slope=0 it is 1 fo
    Fault(
        "V02", "max(V::broadcast(C::lowest), x)", "max(x, V::broadcast(C::lowest))"
    ),  # exp of NaN is nearly 0 instead of NaN: ops.logistic(nan) is 1, NaN is hidden instead of pa
    Fault(
        "V03", "out[j] = static_cast<T>(x[j]) * scale;", "out[j] = static_cast<T>(x[j] * scale);"
    ),  # a float32 network with an input_scale gives other bits for float64 X than for X.astype(flo
    Fault(
        "V04",
        "if (derivative) y.derivative.store(",
        "if (derivative) A::both(x - b, settings).derivative.store(",
    ),  # silu: the derivative is taken at z without the bias, so gradients are wrong once hidden bi
    Fault(
        "V05", "pthread_sigmask(SIG_SETMASK, &before_, nullptr)", "pthread_sigmask(SIG_BLOCK, &before_, nullptr)"
    ),  # after the first call with several threads the calling thread's signals stay blocked: Ctrl-
    Fault(
        "V06", "if (pool->forks_ == forks.load()) delete pool;", ""
    ),  # the helper threads of a Python thread do not end with it: the process gathers threads and
    Fault(
        "V07", "return std::min(count, size());", "return size();"
    ),  # a call with fewer threads than an earlier one in the same Python thread runs on more worke
    Fault(
        "V08",
        "reader_.read_values(inputs_, begin, count, values);\n            const std::int32_t* columns",
        "reader_.read_values(inputs_, inputs_.first_value(source), count, values);\n            const std::int32_t* columns",
    ),  # CSR rows with more than 64 stored values: their later values are those of the row's first
    Fault(
        "V09", "if (batch.sample_weights.size() < rows)", "if (!batch.sample_weights.size())"
    ),  # a weighted fit after one with a smaller batch (same trainer) writes beyond the buffer of w
    Fault(
        "V10",
        "part(inputs_of(last, batch, buffers, active)), z, last == 0 ? active : nullptr);",
        "part(inputs_of(last, batch, buffers, active)), z);",
    ),  # a network without hidden layers trains wrongly on CSR inputs or on data with many zero col
    Fault(
        "V11",
        "std::max_element(sizes_.begin() + 1, sizes_.end())",
        "std::max_element(sizes_.begin() + 1, sizes_.end() - 1)",
    ),  # wrong predictions or a crash where the output layer is wider than all hidden layers
    Fault(
        "V12", "earlier_.row_index = product.row_index;", ""
    ),  # Adam with batches of 64 rows or more updates the wrong weights where zero columns are skip
    Fault(
        "V13", "calls_ = 0; const std::thread::id here", "const std::thread::id here"
    ),  # a child forked while another thread trains waits 5 seconds at its exit
    Fault(
        "V14",
        "py::make_tuple(inputs.indices.row_of(value), inputs.indices.column_of(value))",
        "py::make_tuple(inputs.indices.column_of(value), inputs.indices.row_of(value))",
    ),  # the error for NaN in a sparse matrix names [column, row] instead of [row, column]
    Fault(
        "V15", 'require(!epilogue.keeps_derivative() || z, "the derivative of this activation needs z");', ""
    ),  # ops.activation_gradient for silu without z returns a wrong gradient instead of raising Val
    Fault(
        "V16",
        "self._blocks if chunk_rows == self.rows else chunk_rows // self._block_rows",
        "chunk_rows // self._block_rows",
    ),  # data that fit into one chunk become two where the block size does not divide the rows, the
    Fault(
        "V17", "values *= used[rank] / used.sum()", "values /= len(used)"
    ),  # sync_every > 1: the mean over the ranks is not weighted by the rows that each has used; ra
    Fault(
        "V18", "np.can_cast(X.dtype, network.dtype)", "np.can_cast(network.dtype, X.dtype)"
    ),  # float64 rows (partial_fit, eval_set) beyond float32's range are not rejected before traini
    Fault(
        "V19", 'parameters["learning_rate"] if row.follows_schedules else "constant"', 'parameters["learning_rate"]'
    ),  # solver="adam" obeys learning_rate="invscaling" and "adaptive", which are for "sgd" only, u
    Fault(
        "V20", 'self._write(f"\\r{self._text}\\n")', 'self._write("\\n")'
    ),  # on a terminal the progress line that remains is an earlier one, because redraws are limite
    Fault(
        "V21", "if old is not None and old.st_mode & 0o600 != 0o600:", "if old is not None and not old.st_mode & 0o600:"
    ),  # saving over a read-only file (0444) leaves it writable: its permissions are not kept
    Fault(
        "V22", 'fields.flag("clips_loss"),', ""
    ),  # a loaded network that an estimator's Checkpoint has saved reports unclipped losses; a dama
    Fault(
        "V23", "for mirror in tuple(mirrors):", "for mirror in mirrors:"
    ),  # load_mnist never tries the second mirror if the first one fails: MNIST is not found
    Fault(
        "V24", "self._rate(len(info.history.loss))", "self._rate(info.epoch)"
    ),  # LearningRateSchedule starts anew after a resume or in a second fit, although earlier epoch
    Fault(
        "V25", "if float(dtype.type(scale)) == 0:", "if scale == 0:"
    ),  # an input_scale that rounds to zero in float32, such as 1e-50, is accepted; all inputs beco
    Fault(
        "V26", "return name in self.keys()", "return name in vars(self)"
    ),  # 'val_loss' in history is True without validation data; EarlyStopping and Checkpoint(best=)
    Fault(
        "V27", "seen.setdefault(id(trainer.network), index)", "seen.setdefault(id(trainer), index)"
    ),  # fit_many accepts two trainers of one network: it is trained twice, or a RuntimeError comes
    Fault(
        "V28", 'np.searchsorted(indptr, index, side="right")', "np.searchsorted(indptr, index)"
    ),  # the error about a CSR column index out of range names the row before, where it is the firs
    Fault(
        "V29", "(a + 1) * b for a, b in", "a * (b + 1) for a, b in"
    ),  # the column "parameters" of studies.architectures counts inputs instead of biases
    Fault(
        "V30", 'np.meshgrid(self.x1, self.x2, indexing="ij")', "np.meshgrid(self.x1, self.x2)"
    ),  # SurfaceDisplay draws the surface with x1 and x2 exchanged; axes of different lengths raise
]
