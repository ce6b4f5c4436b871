"""Faults of networks: layers, losses, optimizers, data sets, skipped columns and the training step."""

from faults import Fault

FAULTS = [
    # from the first round
    Fault(
        "N03",
        "sum.penalty += static_cast<double>(batch.update_rows()) * penalty(",
        "sum.penalty += static_cast<double>(batch.rows()) * penalty(",
    ),  # an update of several micro-batches: too small a penalty
    Fault("N04", "updates_ = snapshot_updates_;", ""),  # Adam's count of updates after a divergence
    Fault(
        "N08",
        "sample_weights ? sample_weights + row : nullptr}; }",
        "sample_weights}; }",
    ),  # weights of the first block for all blocks
    # updates, micro-batches and slices
    Fault(
        "N09", "batches_left <= accumulate_ ? rows_", "batches_left < accumulate_ ? rows_"
    ),  # a smaller last batch makes no update
    Fault(
        "N10", "rows <= reserved_rows_ && columns <= reserved_columns_", "rows <= reserved_rows_"
    ),  # a denser CSR matrix overruns the inputs
    Fault(
        "N11", "= *from.sample_weights;", "= epoch.data.sample_weights[batch.begin + i];"
    ),  # weights are not shuffled with rows
    Fault(
        "N12",
        "return {epoch.plan.gradient_divisor(), 1};",
        "return {epoch.plan.gradient_divisor(), batch.update_rows() / epoch.plan.gradient_divisor()};",
    ),  # a rank's loss is scaled by its share of the rows
    Fault(
        "N13",
        "const T scale = gradient_divisor > 0 ? T(1) / static_cast<T>(gradient_divisor) : T(0);",
        "const T scale = T(1) / static_cast<T>(gradient_divisor);",
    ),  # NaN from a batch whose weights sum to zero
    Fault("N14", "static_cast<T>(1 - optimizer.beta_2)", "T(1) - static_cast<T>(optimizer.beta_2)"),  # rounded before
    Fault(
        "N15", "(rate + gradient_rate) * settings.l1 / (1 - optimizer.momentum)", "(rate + gradient_rate) * settings.l1"
    ),  # proximal with momentum
    Fault(
        "N16", "biases_of(network_.layers()[i]), own.biases)", "biases_of(network_.layers()[i]), own.weights)"
    ),  # ranks: biases, too
    Fault("N17", "++updates_;", ""),  # Adam among ranks: each update is the first
    Fault("N18", "x[begin + j] != 0", "x[begin + j] > 0"),  # columns that are negative or zero are skipped
    Fault("N19", "states_[i].for_each_state(f);", ""),  # optimizer's state neither restored nor given to other ranks
    Fault(
        "N20", "moves = properties_.moves_without_gradient ||", "moves = properties_.overlaps_with_product ||"
    ),  # skipped columns lose their velocity
    Fault(
        "N21", "needs_sums_ ? is_first_ || updates_ : moves;", "needs_sums_ ? updates_ : moves;"
    ),  # old sums in skipped columns of the first micro-batch
    Fault(
        "N22", "begin == other.begin && workers == other.workers", "begin == other.begin"
    ),  # a slice with more threads than the one before it
    Fault("N23", "is_prefetched ? prefetched_.side : 0", "0"),  # a slice goes on with the rows of the wrong micro-batch
    Fault("N24", "|| is_summed ||", "||"),  # sums of gradients run past their batch
    # predictions and losses
    Fault(
        "N25",
        "for (int64_t i = 0; i < x.rows; ++i) if (!kernels().finite(",
        "for (int64_t i = 1; i < x.rows; ++i) if (!kernels().finite(",
    ),  # NaN in a block's first row is predicted from
    Fault(
        "N26", "kernels().norms(layer.biases().data(), layer.biases().size(), sums);", ""
    ),  # biases that are not finite go unnoticed
    Fault("N27", "return std::isfinite(sums[0]);", "return std::isfinite(sums[1]);"),  # 1e200 counts as not finite
    Fault("N28", "std::numeric_limits<T>::epsilon()", "std::numeric_limits<float>::epsilon()"),  # clipped in float64
    Fault(
        "N29", "batch.targets + i * batch.target_stride", "batch.targets + i * batch.outputs"
    ),  # poisson's training loss reads the padding
    Fault(
        "N30", "full_panels = shape_.vectors() / panel_vectors;", "full_panels = shape_.panels();"
    ),  # a single row and a narrow last panel
    # CSR inputs
    Fault("N31", "column < 0 || column >= columns", "column < 0 || column > columns"),  # one column beyond the last
    Fault("N32", "ascending_ &= column > last;", "ascending_ &= column >= last;"),  # columns named twice pass
    Fault("N33", "std::upper_bound(row_starts_", "std::lower_bound(row_starts_"),  # a row's first value: the row before
    # one activation for each hidden layer
    Fault("N34", "i < hidden.size() ? hidden[i] : of_output", "i < hidden.size() ? hidden[0] : of_output"),
    Fault("N35", "layer < hidden_.size() ? hidden_[layer] : last_", "layer < hidden_.size() ? hidden_[0] : last_"),
    # the head by rows, and the transposed copy that follows the weights
    Fault(
        "N60", "dropout_of(last, batch, settings, rows.begin)", "dropout_of(last, batch, settings)"
    ),  # each block of rows takes the dropout mask of the first
    Fault(
        "N61", "worker.wait_for_all(); refresh_transposed(worker);", "worker.wait_for_all();"
    ),  # after clipping, backward reads old weights
    Fault(
        "N62", "refresh_transposed(worker); if (!is_gathered) {", "if (!is_gathered) {"
    ),  # weights that were set between two fits are not in the transposed copy
    Fault(
        "N63", "sink.finish_tiles(); on_change(waiting);", "sink.finish_tiles();"
    ),  # with adam the last tile of a panel is never counted: the copy stays old
    Fault(
        "N64", "on_change(sink.overlaps() ? std::exchange(waiting, panel) : panel);", "on_change(panel);"
    ),  # with adam a panel is copied before its last tile is updated
    Fault(
        "N65", "rows_done_.completes(tile.row_tile, panels)", "rows_done_.completes(tile.row_tile, panels - 1)"
    ),  # rows are finished before their last panel is complete
    Fault(
        "N66", "if (copies) layer.transpose_block(panel, 0, state.transposed());", ""
    ),  # with few outputs the copy stays old
    # packed columns, blocks of tiles, rows in the lanes
    Fault(
        "N68", "void begin_product() noexcept { block_ = -1; }", "void begin_product() noexcept {}"
    ),  # copies of the layer above
    Fault("N69", "block_ = tile.block, packed_ = 0;", "block_ = tile.block;"),  # copies of the block before
    Fault(
        "N70",
        "const int64_t first_tile = in_group / (block_tiles * of_group) * block_tiles;",
        "const int64_t first_tile = in_group / (block_tiles * group_panels) * block_tiles;",
    ),  # where the last worker has fewer panels, some tiles are computed twice and some never
    Fault("N71", "if (i + lanes > rows) i = rows - lanes;", "", isa="avx512"),  # rows beyond the last are written
    Fault(
        "N72", "sums[j % lanes] = j < lanes ? e : sums[j % lanes] + e;", "sums[j % lanes] = e;"
    ),  # more classes than lanes: some are not in the sum
    Fault(
        "N73",
        "in.stride >= round_up(inputs_, lanes)",
        "true",
        isa="avx512",
        lives="reads padding that is not there, unused",
    ),
]
