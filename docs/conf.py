"""How Sphinx builds these pages: Markdown by MyST, the reference from the docstrings, nothing from the network."""

import inspect

import fastmlp

project = "fastmlp"
author = "the fastmlp developers"
version = release = fastmlp.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["Thumbs.db", ".DS_Store"]
myst_heading_anchors = 2

# The docstrings name types with shapes and ranges in words, which are no annotations to look up.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_maximum_signature_line_length = 80

smartquotes_action = "De"  # dashes and ellipses; quotation marks may be code

# `Name` in a docstring is a link, or else an argument or fitted attribute that the same page describes.
default_role = "py:obj"
nitpicky = True


def setup(app):
    app.connect("missing-reference", resolve_in_package)


def resolve_in_package(app, env, node, contnode):
    """A docstring of any room may name what is public without saying where: `Trainer.fit`, `EpochInfo`."""
    domain, name = env.domains["py"], node["reftarget"]
    places = (f"{room}.{name}" for room in ("fastmlp", "fastmlp.trainer", "fastmlp.network"))
    found = next((place for place in places if place in domain.objects), None)
    return found and domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found, node, contnode)


def public_functions():
    modules = [value for value in (getattr(fastmlp, name) for name in fastmlp.__all__) if inspect.ismodule(value)]
    for owner in [fastmlp, *modules]:
        for name in dir(owner):
            value = getattr(owner, name)
            if inspect.isclass(value):
                yield from (function for _, function in inspect.getmembers(value, inspect.isroutine))
            elif inspect.isfunction(value):
                yield value


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
