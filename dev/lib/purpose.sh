# shellcheck shell=bash
# Databases and cores by purpose and version of CKAN, so that none is shared by mistake.
#
# Tests clean their database: each of several runs at the same time takes another slot.

SLOTS=4

# choose_purpose [--demo] VERSION
choose_purpose() {
  PURPOSE='test'
  if [[ ${1:-} == --demo ]]; then
    PURPOSE=demo
    shift
  fi
  VERSION=${1:-}
  ckan_release "$VERSION" >/dev/null
  SLOT=0
}

# Takes the first free slot until this script ends; file descriptor 7 holds its lock.
take_slot() {
  for ((SLOT = 0; SLOT < SLOTS; SLOT++)); do
    exec 7>>"$STATE/run/slot-$VERSION-$SLOT.lock"
    flock -n 7 && return
  done
  die "$SLOTS test runs on CKAN $VERSION at the same time are the most"
}

suffix() {
  ((SLOT == 0)) || echo "$1$SLOT"
}

# Tests of branches with other migrations have databases of their own: neither knows the
# revisions of the other.
database_name() {
  local name
  name=ckan_${PURPOSE}_${VERSION/./_}$(suffix _)
  [[ $PURPOSE == test ]] && name+=_$(newest_migration)
  echo "$name"
}

newest_migration() {
  local files=("$ROOT"/ckanext/files/migration/files/versions/*.py)
  basename "${files[-1]}" | cut -d _ -f 1
}

core_name() {
  local prefix=ckan
  [[ $PURPOSE == test ]] || prefix=$PURPOSE
  echo "$prefix-$VERSION$(suffix -)"
}

# Redis has 16 databases, by number.
redis_number() {
  local number=$SLOT
  [[ $PURPOSE == test ]] || number=$SLOTS
  [[ $VERSION == 2.11 ]] || number=$((number + SLOTS + 1))
  echo "$number"
}

print_environment() {
  local own=()
  if postgres_is_ours; then
    echo "export CKAN_SQLALCHEMY_URL=$(postgres_url "$(database_name)")"
    own+=(CKAN_SQLALCHEMY_URL)
  fi
  if solr_is_ours; then
    echo "export CKAN_SOLR_URL=$(solr_url "$(core_name)")"
    own+=(CKAN_SOLR_URL)
  fi
  if redis_is_ours; then
    echo "export CKAN_REDIS_URL=$(redis_url "$(redis_number)")"
    own+=(CKAN_REDIS_URL)
  fi
  echo "export CKANEXT_FILES_OWN='${own[*]}'"
}
