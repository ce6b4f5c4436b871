"""Networks as C: the text of one file that any C99 or C++17 compiler turns into a predictor."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .. import activations
from ..model_state import ModelSpec, ModelState
from ..version import __version__

# Of C99 and C++20. Functions only begin with the name, but a name that is a word of the language misleads.
KEYWORDS = frozenset(
    """alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const consteval constexpr
    constinit continue decltype default delete do double else enum explicit export extern false float for friend goto if
    inline int long mutable namespace new noexcept not nullptr operator or private protected public register requires
    restrict return short signed sizeof static struct switch template this throw true try typedef typeid typename union
    unsigned using virtual void volatile while xor""".split()
)

PREDICTIONS = {  # by the loss's decision: declaration, and what it computes
    "argmax": ("int {name}_predict(const {type} *inputs)", "the index of the largest output, from 0 on"),
    "threshold": (
        "void {name}_predict(const {type} *inputs, int *classes)",
        "for each output 1 where it exceeds 1/2, else 0",
    ),
}

FILE = """\
/* A multilayer perceptron, made by fastmlp {version}: Network.to_c(name="{name}").
 *
 * Layers       {sizes}; {activation} between them; loss {loss}
 * inputs       {inputs} numbers of type {type}, finite, as Network.forward takes them
{scaling} * outputs      {outputs} numbers of type {type}: {meaning}
{classes} *
 * Compile      cc -std=c99 -O2 -c {name}.c, and link with -lm; or as C++17. Needs <math.h> only.
 * Call         from another file, with a copy of the definitions and declarations that follow, or #include this one
 * Memory       {constants} bytes of constants; on the stack {stack} bytes of arrays; nothing else
 * Threads      may call it at once: nothing is kept between calls. Inputs and outputs must not overlap.
 * Rounding     the parameters are exact (hexadecimal); sums run in the order of the inputs, so that outputs differ
 *              from those of Network.forward in their last digits
 */
#include <math.h>

#define {macro}_INPUTS {inputs}
#define {macro}_OUTPUTS {outputs}

#ifdef __cplusplus
extern "C" {{
#endif
{declarations}
#ifdef __cplusplus
}}
#endif

{arrays}

{forward}
{predict}"""

LAYER = """\
    for (j = 0; j < {columns}; ++j) {target}[j] = {name}_biases_{i}[j];
    for (i = 0; i < {rows}; ++i) {{
        const {type} x = {x};
        for (j = 0; j < {columns}; ++j) {target}[j] += x * {name}_weights_{i}[i][j];
    }}
"""

SOFTMAX = """\
    {type} largest = outputs[0], sum = 0;
    for (j = 1; j < {columns}; ++j)
        if (outputs[j] > largest) largest = outputs[j];
    for (j = 0; j < {columns}; ++j) sum += outputs[j] = exp{f}(outputs[j] - largest);
    for (j = 0; j < {columns}; ++j) outputs[j] /= sum;
"""

IN_UNITS_OF_TARGETS = """\
    for (j = 0; j < {columns}; ++j) outputs[j] = ({type})(outputs[j] * {name}_target_std[j] + {name}_target_mean[j]);
"""

PREDICT = {
    "argmax": """\
    {type} outputs[{columns}];
    int j, best = 0;
    {name}_forward(inputs, outputs);
    for (j = 1; j < {columns}; ++j)
        if (outputs[j] > outputs[best]) best = j;
    return best;
""",
    "threshold": """\
    {type} outputs[{columns}];
    int j;
    {name}_forward(inputs, outputs);
    for (j = 0; j < {columns}; ++j) classes[j] = outputs[j] > {half};
""",
}


def check_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name must be a C identifier such as 'network', got {name!r}")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", name) or name in KEYWORDS:
        raise ValueError(
            "name must be a C identifier such as 'network': ASCII letters, digits and single underscores between them, "
            f"a letter first, and no keyword of C or C++; got {name!r}"
        )
    return name


def to_c(model: ModelState, name: str) -> str:
    """What `Network.to_c` returns."""
    name = check_name(name)
    spec, arrays = model.spec, model.finite_arrays("exported")
    sizes, itemsize, loss = spec.layer_sizes, spec.dtype.itemsize, spec.loss_row
    names = {"name": name, "columns": sizes[-1], **type_names(spec.dtype)}
    c_type, f = names["type"], names["f"]
    buffers = {side: max(sizes[1:-1][k::2], default=0) for k, side in enumerate(("even", "odd"))}

    declarations, predict = functions(spec, names)
    stack, classes = sum(buffers.values()), ""
    if loss.decision is not None:
        classes = f" * classes      {PREDICTIONS[loss.decision][1]}\n"
        stack += sizes[-1]
    standardization = model.standardization
    scaling = (
        f" *              (this file multiplies them by {float(spec.input_scale)!r})\n"
        if spec.dtype.type(spec.input_scale) != 1
        else ""
    )
    texts = [_array(f"{name}_{key.replace('.', '_')}", c_type, f, array) for key, array in arrays.items()]
    if standardization is not None:
        scaling = " *              (this file standardizes them)\n"
        doubles = {**standardization.arrays(), "input_factor": 1 / standardization.input_std}
        del doubles["input_std"]
        texts += [_array(f"{name}_{key}", "double", "", array) for key, array in doubles.items()]
    return FILE.format(
        version=__version__,
        name=name,
        macro=name.upper(),
        sizes="-".join(map(str, sizes)),
        activation=activations.text_of(spec.activation),
        loss=loss.name,
        type=c_type,
        inputs=sizes[0],
        outputs=sizes[-1],
        scaling=scaling,
        meaning=loss.meaning,
        classes=classes,
        constants=spec.parameter_count * itemsize,
        stack=stack * itemsize,
        declarations="".join(f"{declaration};\n" for declaration in declarations).rstrip(),
        arrays="\n\n".join(texts),
        forward=f"{declarations[0]} {{\n{_forward_body(model, names, buffers)}}}",
        predict=predict,
    )


def type_names(dtype: np.dtype) -> dict[str, Any]:
    """How C writes a type and its numbers."""
    return (
        {"type": "float", "f": "f", "half": "0.5f"}
        if dtype == np.float32
        else {"type": "double", "f": "", "half": "0.5"}
    )


def functions(spec: ModelSpec, names: dict[str, Any]) -> tuple[list[str], str]:
    """The declarations of NAME_forward and, for losses with classes, NAME_predict; the definition of the latter."""
    forward = "void {name}_forward(const {type} *inputs, {type} *outputs)".format(**names)
    decision = spec.loss_row.decision
    if decision is None:
        return [forward], ""
    declaration = PREDICTIONS[decision][0].format(**names)
    return [forward, declaration], f"\n{declaration} {{\n{PREDICT[decision].format(**names)}}}\n"


def _input_expression(model: ModelState, names: dict[str, Any]) -> str:
    """An input as the first layer takes it."""
    scale = model.spec.dtype.type(model.spec.input_scale)
    if model.standardization is not None:
        return "({type})(((double)inputs[i] - {name}_input_mean[i]) * {name}_input_factor[i])".format(**names)
    return "inputs[i]" if scale == 1 else f"{_hexadecimal(float(scale))}{names['f']} * inputs[i]"


def _forward_body(model: ModelState, names: dict[str, Any], buffers: dict[str, int]) -> str:
    spec, f, c_type = model.spec, names["f"], names["type"]
    kept = [
        f"    {c_type} {side}[{width}]; /* activations of layers {first}, {first + 2} ... */\n"
        for first, (side, width) in enumerate(buffers.items())
        if width
    ]
    lines, source = ["".join(kept) + "    int i, j;\n"], "inputs"
    output = activations.TABLE[spec.loss_row.output]
    parts = [*spec.hidden_activations, (output, {})]
    for i, (rows, columns) in enumerate(spec.shapes):
        last = i == len(spec.shapes) - 1
        target = "outputs" if last else ("even", "odd")[i % 2]
        x = _input_expression(model, names) if i == 0 else f"{source}[i]"
        layer = {**names, "rows": rows, "columns": columns, "i": i, "target": target, "x": x}
        lines.append(LAYER.format(**layer))
        part, settings = parts[i]
        numbers = {name: _hexadecimal(value) + f for name, value in settings.items()}
        statement = part.c.format(x=f"{target}[j]", f=f, **numbers)
        if statement:
            lines.append(f"    for (j = 0; j < {columns}; ++j) {statement}\n")
        source = target
    if output.is_of_row:
        lines.append(SOFTMAX.format(**names))
    if model.standardization is not None and model.standardization.target_std is not None:
        lines.append(IN_UNITS_OF_TARGETS.format(**names))
    return "".join(lines)


def _array(name: str, c_type: str, suffix: str, array: np.ndarray) -> str:
    """`static const float name[2][3] = {...};` of a layer's weights, one row of them after another, or biases."""
    rows = [_row(row, suffix) for row in np.atleast_2d(array).tolist()]
    values = rows[0] if array.ndim == 1 else "{\n" + ",\n".join(rows) + "}"
    return f"static const {c_type} {name}{''.join(f'[{n}]' for n in array.shape)} = {values};"


def _row(row: list[float], suffix: str, per_line: int = 6) -> str:
    numbers = [_hexadecimal(value) + suffix for value in row]
    lines = [", ".join(numbers[i : i + per_line]) for i in range(0, len(numbers), per_line)]
    return "{" + ",\n ".join(lines) + "}"


def _hexadecimal(value: float) -> str:
    """The exact value without the zeros that a float32's last digits are."""
    mantissa, _, exponent = value.hex().partition("p")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}p{exponent}"
