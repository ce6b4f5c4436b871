"""Ensembles as C: the text of all members, and of functions that take the mean of their outputs."""

from __future__ import annotations

from collections.abc import Sequence

from ..model_state import ModelState
from ..version import __version__
from . import c_source

HEAD = """\
/* An ensemble of {count} networks, made by fastmlp {version}: Ensemble.to_c(name="{name}").
 *
 * {name}_forward and {name}_predict, at the end, have the inputs and outputs of those of the members {name}_0, {name}_1 ...,
 * whose comments describe them. Their outputs are the means over the members, summed in double in this order.
 */
"""

FUNCTIONS = """\

#define {macro}_INPUTS {inputs}
#define {macro}_OUTPUTS {columns}

#ifdef __cplusplus
extern "C" {{
#endif
{declarations}
#ifdef __cplusplus
}}
#endif

{forward} {{
    {type} outputs_of_member[{columns}];
    double sums[{columns}];
    int j;
    for (j = 0; j < {columns}; ++j) sums[j] = 0;
{sums}    for (j = 0; j < {columns}; ++j) outputs[j] = ({type})(sums[j] / {count});
}}
{predict}"""

SUM = """\
    {name}_{member}_forward(inputs, outputs_of_member);
    for (j = 0; j < {columns}; ++j) sums[j] += outputs_of_member[j];
"""


def to_c(models: Sequence[ModelState], name: str) -> str:
    """What `Ensemble.to_c` returns."""
    name = c_source.check_name(name)
    spec = models[0].spec
    names = {**c_source.type_names(spec.dtype), "name": name, "columns": spec.layer_sizes[-1], "count": len(models)}
    declarations, predict = c_source.functions(spec, names)
    functions = FUNCTIONS.format(
        **names,
        macro=name.upper(),
        inputs=spec.layer_sizes[0],
        declarations="".join(f"{declaration};\n" for declaration in declarations).rstrip(),
        forward=declarations[0],
        sums="".join(SUM.format(**names, member=j) for j in range(len(models))),
        predict=predict,
    )
    members = [c_source.to_c(model, f"{name}_{j}") for j, model in enumerate(models)]
    return HEAD.format(**names, version=__version__) + "\n".join([*members, functions])
