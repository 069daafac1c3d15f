#!/usr/bin/env bash
# Makes .dev/venv-VERSION with CKAN, what development needs, and the extension: dev/venv.sh VERSION
#
# Done again only when one of the files that it installs from has changed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

version=${1:-}
release=$(ckan_release "$version")
venv=$STATE/venv-$version
stamp=$venv/installed-from

inputs() {
  echo "ckan $release"
  cd "$ROOT"
  sha256sum requirements.txt dev-requirements.txt setup.cfg setup.py dev/venv.sh
}

is_complete() {
  [[ $(inputs) == "$(cat "$stamp" 2>/dev/null)" ]] && "$venv/bin/python" -c '' 2>/dev/null
}

install() {
  "$venv/bin/pip" install -q --no-compile "$@" >>"$STATE/log/venv-$version.log" 2>&1 \
    || die "pip failed, see $STATE/log/venv-$version.log"
}

is_complete && exit
"$DEV/packages.sh" python
exec 8>>"$STATE/run/venv-$version.lock"
flock 8
is_complete && exit

say "installing CKAN $release in $venv"
: >"$STATE/log/venv-$version.log"
"$venv/bin/python" -c '' 2>/dev/null || "$(find_python)" -m venv --clear "$venv"
# CKAN still imports pkg_resources, which setuptools 81 has no more.
install 'setuptools>=77,<81' wheel
install "ckan[requirements,dev]==$release" -r "$ROOT/requirements.txt" -r "$ROOT/dev-requirements.txt"
# compat: a package that is added later is found without installing again
install --no-deps --no-build-isolation --config-settings editable_mode=compat -e "$ROOT"
inputs >"$stamp"
