#!/usr/bin/env bash
# Stops the services and removes all that the scripts have made: dev/clean.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$DEV/lib/postgres.sh"

"$DEV/services.sh" down
rm -rf "$STATE" "$POSTGRES_HOME" "$ROOT/build" "$ROOT/dist"
