#!/usr/bin/env bash
# Brings CKAN 2.12's own tests of files, which the backport has to pass: dev/core-tests.sh VERSION
#
# On CKAN 2.12 they are installed with CKAN. For CKAN 2.11 they are read out of 2.12's wheel, which is
# downloaded once and not installed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

version=${1:-}
folder=$STATE/core-tests
release=$(ckan_release 2.12)

has_wheel() {
  compgen -G "$folder/ckan-$release-*.whl" >/dev/null
}

[[ $version == 2.11 ]] || exit 0
has_wheel && exit
exec 8>>"$STATE/run/core-tests.lock"
flock 8
has_wheel && exit
say "downloading CKAN $release for its tests of files"
"$STATE/venv-$version/bin/pip" download -q --no-deps --only-binary :all: -d "$folder.new" "ckan==$release" \
  >>"$STATE/log/core-tests.log" 2>&1 || die "pip failed, see $STATE/log/core-tests.log"
rm -rf "$folder"
mv "$folder.new" "$folder"
