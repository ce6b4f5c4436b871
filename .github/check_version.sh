#!/usr/bin/env bash
# check_version.sh TAG: the package, CHANGELOG.md and CITATION.cff have the version of a tag such as v0.2.0, and a date.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1#v}
fail() { echo "$1, but the tag is $tag" >&2; exit 1; }
tag=$1
found=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' python/fastmlp/version.py)
[ "$found" = "$version" ] || fail "python/fastmlp/version.py says $found"
newest=$(grep --max-count=1 '^## ' CHANGELOG.md)
[[ $newest =~ ^"## $version ("[0-9]{4}-[0-9]{2}-[0-9]{2}")"$ ]] || fail "CHANGELOG.md begins with '$newest'"
cited=$(sed -n 's/^version: *//p' CITATION.cff)
[ "$cited" = "$version" ] || fail "CITATION.cff says '$cited'"
