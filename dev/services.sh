#!/usr/bin/env bash
# PostgreSQL, Redis and Solr for this checkout, on ports of their own:
#
#   dev/services.sh up                     start what is not running, and leave it running
#   dev/services.sh down                   stop what these scripts have started
#   dev/services.sh env [--demo] VERSION   print the CKAN_*_URL variables for a shell
#
# A server that a CKAN_*_URL variable names is used as it is, and never started or stopped.
# Between `acquire` and `release`, which dev/run.sh calls, services run for as long as anybody
# uses them.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$DEV/lib/service.sh"
source "$DEV/lib/postgres.sh"
source "$DEV/lib/redis.sh"
source "$DEV/lib/solr.sh"

KEEP=$STATE/run/keep

# One at a time; file descriptor 8 holds the lock.
lock() {
  exec 8>>"$STATE/run/services.lock"
  flock 8
}

# The servers must not inherit the locks: they would hold them for as long as they live.
start() {
  if postgres_is_ours; then postgres_start; fi 8>&- 9>&-
  if redis_is_ours; then redis_start; fi 8>&- 9>&-
  if solr_is_ours; then solr_start; fi 8>&- 9>&-
}

stop() {
  solr_stop
  redis_stop
  postgres_stop
}

nobody_uses_them() {
  exec 9>>"$STATE/run/users.lock"
  flock -n -x 9
}

case ${1:-} in
  up)
    "$DEV/packages.sh" services
    lock
    start
    touch "$KEEP"
    ;;
  down)
    lock
    rm -f "$KEEP"
    stop
    ;;
  acquire)
    "$DEV/packages.sh" services
    lock
    start
    ;;
  release)
    lock
    if [[ ! -e $KEEP ]] && nobody_uses_them; then stop; fi
    ;;
  env)
    shift
    source "$DEV/lib/purpose.sh"
    choose_purpose "$@"
    print_environment
    ;;
  *)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
