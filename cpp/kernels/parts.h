// The kinds of each part of a network and of its training, and their properties.
//
// A part is one word here, its name below, and one struct in activations.h, losses.h or updates.h.
#pragma once

namespace fastmlp {

enum class Activation {
    identity,
    relu,
    tanh,
    logistic,
    exponential,
    leaky_relu,
    silu,
    elu,
    selu,
    softplus,
    gelu,
    gelu_tanh,
    mish,
    count
};
enum class Loss {
    cross_entropy,
    squared_error,
    binary_cross_entropy,
    poisson,
    absolute_error,
    huber,
    quantile,
    gamma,
    count
};
enum class UpdateKind { sgd, momentum, adam, adamw, nadam, rmsprop, count };
enum class InputKind { uint8, float32, float64, count };

// The order of the sums of a product of bfloat16. All are rounded to float, and denormal ones become zero.
enum class PairOrder {
    chain,   // of AVX512_BF16: one chain over kk = 1, 0, 3, 2, ...
    blocks,  // of AMX: of 32 kk, a chain of the even ones and one of the odd ones, both from zero; then the sum of the two
             // is added to that of the blocks before
    count
};

// How many kinds an enum has.
template <class Kind> inline constexpr int count_of = static_cast<int>(Kind::count);

// No default in these switches: the compiler rejects a kind without a name.
constexpr const char* name_of(Activation kind) {
    switch (kind) {
        case Activation::identity:
            return "identity";
        case Activation::relu:
            return "relu";
        case Activation::tanh:
            return "tanh";
        case Activation::logistic:
            return "logistic";
        case Activation::exponential:
            return "exponential";
        case Activation::leaky_relu:
            return "leaky_relu";
        case Activation::silu:
            return "silu";
        case Activation::elu:
            return "elu";
        case Activation::selu:
            return "selu";
        case Activation::softplus:
            return "softplus";
        case Activation::gelu:
            return "gelu";
        case Activation::gelu_tanh:
            return "gelu_tanh";
        case Activation::mish:
            return "mish";
        case Activation::count:
            break;
    }
    return "";
}

constexpr const char* name_of(Loss kind) {
    switch (kind) {
        case Loss::cross_entropy:
            return "cross_entropy";
        case Loss::squared_error:
            return "squared_error";
        case Loss::binary_cross_entropy:
            return "binary_cross_entropy";
        case Loss::poisson:
            return "poisson";
        case Loss::absolute_error:
            return "absolute_error";
        case Loss::huber:
            return "huber";
        case Loss::quantile:
            return "quantile";
        case Loss::gamma:
            return "gamma";
        case Loss::count:
            break;
    }
    return "";
}

constexpr const char* name_of(PairOrder order) {
    switch (order) {
        case PairOrder::chain:
            return "bfloat16";
        case PairOrder::blocks:
            return "bfloat16_amx";
        case PairOrder::count:
            break;
    }
    return "";
}
constexpr const char* name_of(UpdateKind kind) {
    switch (kind) {
        case UpdateKind::sgd:
            return "sgd";
        case UpdateKind::momentum:
            return "momentum";
        case UpdateKind::adam:
            return "adam";
        case UpdateKind::adamw:
            return "adamw";
        case UpdateKind::nadam:
            return "nadam";
        case UpdateKind::rmsprop:
            return "rmsprop";
        case UpdateKind::count:
            break;
    }
    return "";
}

inline constexpr int max_setting_count = 2;  // of an activation or a loss

// Numbers that change an activation or a loss, as leaky_relu's slope does.
template <class T> struct PartSettings {
    T value[max_setting_count] = {};
};

struct ActivationProperties {
    int setting_count;
    bool keeps_derivative;  // its derivative is no function of its output: forward keeps it
};

struct LossProperties {
    bool uses_labels;   // one class label per row; otherwise one target per output
    bool takes_levels;  // its setting may be another one for each output
    int setting_count;
};

struct UpdateProperties {
    int state_count;              // arrays as large as the parameters: at most 2
    bool moves_without_gradient;  // a zero gradient still changes parameters or state
    bool overlaps_with_product;   // slow enough to be computed during the product of the next tile
    bool schedules_momentum;      // as nadam does; beta_1 is its limit
    bool corrects_bias;           // the learning rate corrects the bias of running means with decays beta_1 and beta_2
};

}  // namespace fastmlp
