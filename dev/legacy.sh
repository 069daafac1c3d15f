#!/usr/bin/env bash
# Makes .dev/venv-legacy, a portal as those who move in have it: CKAN 2.11 with ckanext-files 1.3.4 from PyPI.
#
# For tests of the move only. Nothing of it is ever beside this extension in one environment.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

release=$(ckan_release 2.11)
venv=$STATE/venv-legacy
stamp=$venv/installed-from
packages=("ckan[requirements]==$release" ckanext-files==1.3.4)

is_complete() {
  [[ ${packages[*]} == "$(cat "$stamp" 2>/dev/null)" ]] && "$venv/bin/python" -c '' 2>/dev/null
}

install() {
  "$venv/bin/pip" install -q "$@" >>"$STATE/log/venv-legacy.log" 2>&1 \
    || die "pip failed, see $STATE/log/venv-legacy.log"
}

is_complete && exit
"$DEV/packages.sh" python
exec 8>>"$STATE/run/venv-legacy.lock"
flock 8
is_complete && exit

say "installing CKAN $release and ckanext-files 1.3.4 in $venv"
: >"$STATE/log/venv-legacy.log"
"$(find_python)" -m venv --clear "$venv"
# CKAN still imports pkg_resources, which setuptools 81 has no more.
install 'setuptools>=77,<81' wheel
install "${packages[@]}"
echo "${packages[*]}" >"$stamp"
