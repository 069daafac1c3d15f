#!/usr/bin/env bash
# Runs a command with everything in place: dev/run.sh [--demo] VERSION COMMAND...
#
# VERSION is 2.11 or 2.12. Packages, services, the virtual environment and an initialised
# database are made when they are missing. Services that were started for the command are
# stopped after it, when nobody else uses them; `dev/services.sh up` leaves them running.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$DEV/lib/service.sh"
source "$DEV/lib/postgres.sh"
source "$DEV/lib/redis.sh"
source "$DEV/lib/solr.sh"
source "$DEV/lib/purpose.sh"

choose_purpose "$@"
[[ $PURPOSE == test ]] || shift
shift
(($#)) || die "usage: dev/run.sh [--demo] VERSION COMMAND..."

child=
temporary=

# shellcheck disable=SC2317 # called by the trap
leave() {
  exec 7>&- 9>&-
  [[ -z $temporary ]] || rm -rf "$temporary"
  "$DEV/services.sh" release
}

# The terminal sends an interrupt to the command as well; a signal to this script is passed on.
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ $PURPOSE == test ]]; then
  "$DEV/packages.sh" --browser
else
  "$DEV/packages.sh"
fi

# Services run for as long as somebody holds this lock: see dev/services.sh.
exec 9>>"$STATE/run/users.lock"
flock -s 9
"$DEV/services.sh" acquire 9>&-
"$DEV/venv.sh" "$VERSION" 9>&-

if [[ $PURPOSE == test ]]; then
  take_slot
  temporary=$(mktemp -d)
  storage=$temporary
else
  storage=$STATE/demo-$VERSION/storage
  mkdir -p "$storage"
fi

venv=$STATE/venv-$VERSION
environment=$(print_environment)
prepare() {
  local schema
  if postgres_is_ours; then postgres_create_database "$(database_name)"; fi
  if solr_is_ours; then
    schema=$("$venv/bin/python" -c 'import importlib.util as u; print(u.find_spec("ckan").submodule_search_locations[0])')
    solr_create_core "$(core_name)" "$schema/config/solr/schema.xml"
  fi
}
(flock 8 && prepare) 8>>"$STATE/run/services.lock" 7>&- 9>&-

eval "$environment"
export CKAN_STORAGE_PATH=${CKAN_STORAGE_PATH:-$storage}
export PATH=$venv/bin:$PATH
python "$DEV/database.py" "$ROOT/test.ini" 7>&- 9>&-

# A command in the background would have interrupts ignored and no input.
env --default-signal=INT,QUIT "$@" <&0 7>&- 9>&- &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM HUP
trap : INT
while true; do
  status=0
  wait "$child" || status=$?
  kill -0 "$child" 2>/dev/null || break
done
exit "$status"
