"""Faults of the products in bfloat16, and of the training with them."""

from faults import Fault

FAULTS = [
    # Kernels
    Fault("H01", "0x7fffu + (upper & 1u)", "0x8000u"),  # ties are rounded away from zero
    Fault("H02", "exponent == 0 ? upper & 0x8000u : ", ""),  # denormals are kept
    Fault("H03", "(fraction != 0 ? 0x40u : 0u)", "0u"),  # a NaN whose upper bits are zero becomes infinite
    Fault(
        "H04", "rounded(x[2 * j]) | rounded(x[2 * j + 1]) << 16", "rounded(x[2 * j + 1]) | rounded(x[2 * j]) << 16"
    ),  # the chain takes the first of two elements first
    Fault("H05", "rounded(even[j]) | rounded(odd[j]) << 16", "rounded(odd[j]) | rounded(even[j]) << 16"),
    Fault("H06", "if (columns % 2) out[columns / 2] = rounded(x[columns - 1]);", ""),  # the last of an odd number
    Fault(
        "H07",
        "b = product.b + product.rows_of_b[k] * width;",
        "b = product.b + k * width;",
    ),  # the first rows of B instead of the active ones
    Fault("H08", "Pairs::load(b + j * V::lanes).high()", "Pairs::load(b + j * V::lanes).low()"),  # the wrong one of two
    Fault("H28", "if (loaded_rows != m) load_shape();", "if (loaded_rows == 0) load_shape();"),  # that of another tile
    Fault("H31", "_tile_dpbf16ps(3, 5, 7)", "_tile_dpbf16ps(3, 5, 6)"),  # of tall tiles, the first columns twice
    # Columns that are zero in a batch
    Fault("H09", "(mask_[word] & even) << 1 | (mask_[word] >> 1 & even)", "(mask_[word] & even) << 1"),
    Fault("H10", "mask_[word] &= (std::uint64_t{1} << end) - 1;", ";"),  # beyond an odd number of columns
    Fault("H11", "std::min(2 * named, network_.inputs())", "named"),  # of CSR, buffers without the others of pairs
    Fault("H12", "active->index()[2 * pair] / 2", "active->index()[2 * pair]"),
    # Layers
    Fault(
        "H13", "2 * pair + 1 < layer_->inputs() ? even + width : nullptr", "even + width"
    ),  # the next panel's weights complete an odd number of inputs
    Fault("H14", "pairs.round(part); if (i > 0)", "if (i > 0)"),  # biases have unrounded gradients
    Fault("H15", "pairs.round(outputs);", ""),  # an output layer of float32, and derivatives, read unrounded outputs
    Fault("H16", "if (drops_) in_pairs(i, [&](auto& pairs) { pairs.round(inputs); });", ""),  # the same with dropout
    Fault("H17", "return outputs > 16;", "return outputs >= 16;"),
    Fault("H18", "&& pair_layers_.size() < network_.layers().size();", ";"),  # a wide head is computed twice
    Fault("H19", "std::min(2 * tile.rows, columns - first)", "2 * tile.rows"),  # a row of weights too many
    Fault("H20", "precision and getattr(PairOrder, precision)", "precision and PairOrder.bfloat16"),  # of two orders
    # Predictions, and networks for tables
    Fault("H21", "if (i + 1 == in_pairs.size() && i + 1 < layers_.size()) weights.round(out);", ""),  # as H15
    Fault("H22", "weights.pair_columns(in, pairs, 0, 0);", "if (i == 0) weights.pair_columns(in, pairs, 0, 0);"),
    Fault(
        "H23",
        "pairs.forward_tile(tile, nullptr, to, out.stride, first);",
        "pairs.forward_tile(tile, nullptr, to, out.stride);",
    ),
    Fault("H24", "round_weights(worker); if (members > 1) embed", "if (members > 1) embed"),  # zeros instead of weights
    Fault("H25", "pairs.round_transposed_inputs(worker, inputs_of(i, pass, rows));", ""),
    Fault("H26", "i > 0 || hidden_arrays_[0].input_factors || net.front().learns()", "i > 0 || net.front().learns()"),
    Fault("H27", "settings.precision and getattr(_core.PairOrder, settings.precision)", "None"),
]
