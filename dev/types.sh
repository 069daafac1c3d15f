#!/usr/bin/env bash
# Checks the types against a version of CKAN: dev/types.sh VERSION
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

"$DEV/venv.sh" "$1"
cd "$ROOT"
exec "$STATE/venv-$1/bin/pyright" --pythonpath "$STATE/venv-$1/bin/python"
