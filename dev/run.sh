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
source "$DEV/lib/command.sh"

choose_purpose "$@"
[[ $PURPOSE == test ]] || shift
shift
(($#)) || die "usage: dev/run.sh [--demo] VERSION COMMAND..."

hold_services
"$DEV/services.sh" acquire 9>&-
"$DEV/venv.sh" "$VERSION" 9>&-

if [[ $PURPOSE == test ]]; then
  "$DEV/packages.sh" browser
  "$DEV/core-tests.sh" "$VERSION" 9>&-
  take_slot
  storage=$(mktemp -d)
  trap 'rm -rf "$storage"; release_services' EXIT
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
if [[ -z ${CKAN_STORAGE_PATH:-} ]]; then
  export CKAN_STORAGE_PATH=$storage
  CKANEXT_FILES_OWN+=' CKAN_STORAGE_PATH'
fi
export PATH=$venv/bin:$PATH
# Tests start CKAN a hundred times.
unset PYTHONDONTWRITEBYTECODE
python "$DEV/database.py" "$ROOT/test.ini" 7>&- 9>&-

run_command "$@"
