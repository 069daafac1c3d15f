#!/usr/bin/env bash
# Runs a script for several versions of CKAN, side by side:
#
#   dev/each.sh 'VERSION...' SCRIPT ARGUMENT...
#
# SCRIPT gets the version before its other arguments. Prints what each has printed, one version
# after the other. Fails when it fails for any of them.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$DEV/lib/command.sh"

read -ra versions <<<"${1:-}"
shift
(($#)) || die "usage: dev/each.sh 'VERSION...' SCRIPT ARGUMENT..."
script=$1
shift

pids=()
logs=$(mktemp -d)

stop() {
  kill -TERM "${pids[@]}" 2>/dev/null || true
  wait
  exit "$1"
}

hold_services
trap 'rm -rf "$logs"; release_services' EXIT
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM
for version in "${versions[@]}"; do
  # see run_command
  env --default-signal=INT,QUIT "$script" "$version" "$@" >"$logs/$version" 2>&1 </dev/null 9>&- &
  pids+=($!)
done

failed=()
for number in "${!versions[@]}"; do
  version=${versions[number]}
  say "CKAN $version: $script $*"
  tail -q -n +1 -f --pid="${pids[number]}" "$logs/$version" 9>&- &
  wait "${pids[number]}" || failed+=("$version")
  wait $!
done
((${#failed[@]} == 0)) || die "failed on CKAN ${failed[*]}"
