"""Faults of matrices, free-standing products, the search for values that are not finite, and teams of threads."""

from faults import Fault

FAULTS = [
    # from the first round
    Fault(
        "L01",
        "while (at < earliest && !found.compare_exchange_weak(earliest, at)) { }",
        "found.store(at); (void)earliest;",
    ),  # the last writer wins, not the first bad value
    Fault(
        "L02",
        "static_cast<T>(std::min<double>(limit, std::numeric_limits<T>::max()))",
        "static_cast<T>(limit)",
    ),  # inf in a float32 array passes where the limit is double's
    Fault(
        "L03", "row_index ? row_index + row : nullptr", "row_index"
    ),  # skipped columns: the rows of the first tile again
    Fault(
        "L04",
        "memset(static_cast<void*>(data_.get()), 0, bytes);",
        "memset(static_cast<void*>(data_.get()), 0, bytes / 4);",
    ),  # a quarter of a new buffer is zeroed
    Fault("L05", "cursors->clear_ahead(loop, index);", ""),  # a team leaves work undone from its ninth loop on
    Fault(
        "L06", "std::min({threads, max_workers(), thread_limit()})", "std::min(threads, thread_limit())"
    ),  # a thousand threads are started on request
    Fault("L07", "if (&job == &last_job_) return;", ""),  # a thread that ends does not end its helpers
    Fault("L08", "catch (const std::exception&)", "catch (const std::bad_alloc&)"),  # a refused thread ends the process
    Fault(
        "L09", "std::min(omp_get_max_threads(), max_workers())", "std::min(omp_get_num_procs(), max_workers())"
    ),  # OMP_NUM_THREADS and threadpoolctl are ignored
    Fault(
        "L10", "pack_panels(shape, t.data, t.stride, panels.data())", "pack_panels(shape, t.data, n, panels.data())"
    ),  # the padding of a transposed b is read
    Fault(
        "L11",
        "width = shape.width_of(tile.panel), first = tile.panel * shape.full_width();",
        "width = shape.width_of(tile.panel), first = tile.panel * width;",
    ),  # a narrow last panel of a product goes elsewhere
    Fault(
        "L12",
        "return {total * worker / count, total * (worker + 1) / count};",
        "return {total / count * worker, total / count * (worker + 1)};",
    ),  # what a team cannot share evenly is left undone
]
