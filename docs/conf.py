"""Settings of Sphinx: pages in Markdown (MyST), the API from the docstrings, no network access."""

import inspect

import fastmlp

project = "fastmlp"
author = "the fastmlp developers"
version = release = fastmlp.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["Thumbs.db", ".DS_Store"]
myst_heading_anchors = 2

# The type slots of the docstrings contain shapes and ranges in words, which Sphinx cannot link.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_maximum_signature_line_length = 80

smartquotes_action = "De"  # dashes and ellipses only: quotation marks can be code

# `name` in a docstring is a link, or an argument or fitted attribute, which the lists at the end of this file allow.
default_role = "py:obj"
nitpicky = True


def setup(app):
    app.connect("missing-reference", resolve_in_package)
    app.connect("autodoc-skip-member", leave_out_internals)


def resolve_in_package(app, env, node, contnode):
    """Link `Trainer.fit` or `EpochInfo`, which docstrings use without the name of the module."""
    domain, name = env.domains["py"], node["reftarget"]
    candidates = (f"{module}.{name}" for module in ("fastmlp", "fastmlp.trainer", "fastmlp.network"))
    target = next((candidate for candidate in candidates if candidate in domain.objects), None)
    return target and domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, contnode)


def leave_out_internals(app, what, name, member, skip, options):
    """Methods that other modules of the package call, but users do not."""
    return True if "for the package itself" in (inspect.getdoc(member) or "") else None


def public_functions():
    modules = [value for value in (getattr(fastmlp, name) for name in fastmlp.__all__) if inspect.ismodule(value)]
    for owner in [fastmlp, *modules]:
        for name in dir(owner):
            value = getattr(owner, name)
            if inspect.isclass(value):
                yield from (function for _, function in inspect.getmembers(value, inspect.isroutine))
            elif inspect.isfunction(value):
                yield value


# Names of arguments, and of fitted attributes such as `coefs_`.
nitpick_ignore = {
    ("py:obj", parameter)
    for function in public_functions()
    if getattr(function, "__module__", None) and function.__module__.startswith("fastmlp")
    for parameter in inspect.signature(function).parameters
}
nitpick_ignore_regex = {("py:obj", r"[a-z]+(_[a-z]+)*_")}

html_theme = "furo"
html_title = f"fastmlp {version}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
