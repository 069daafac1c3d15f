#!/usr/bin/env bash
# Runs a command on several versions of CKAN, one after the other: dev/each.sh 'VERSION...' COMMAND...
#
# Fails when it fails on any of them, after it has run on all. Services stay up in between.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$DEV/lib/command.sh"

read -ra versions <<<"${1:-}"
shift
(($#)) || die "usage: dev/each.sh 'VERSION...' COMMAND..."

hold_services
failed=()
for version in "${versions[@]}"; do
  say "CKAN $version: $*"
  run_command "$DEV/run.sh" "$version" "$@" || failed+=("$version")
  [[ -z ${interrupted:-} ]] || exit 130
done
((${#failed[@]} == 0)) || die "failed on CKAN ${failed[*]}"
