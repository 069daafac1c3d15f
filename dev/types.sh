#!/usr/bin/env bash
# Checks the types against the given versions of CKAN: dev/types.sh VERSION...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

status=0
for version in "$@"; do
  "$DEV/venv.sh" "$version"
  say "pyright with CKAN $version"
  (cd "$ROOT" && "$STATE/venv-$version/bin/pyright" --pythonpath "$STATE/venv-$version/bin/python") || status=1
done
exit "$status"
