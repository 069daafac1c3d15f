# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the scripts that read this
# What all scripts in dev/ share: where things are, and how to say so.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DEV=$ROOT/dev
# Everything that the scripts make lives here, but for PostgreSQL's data (see postgres.sh).
STATE=$ROOT/.dev

CKAN_VERSIONS=(2.11 2.12)

mkdir -p "$STATE/run" "$STATE/log"

# Inside of `dev/run.sh 2.12 bash` these name what is ours, not what the user has given.
for variable in ${CKANEXT_FILES_OWN:-}; do
  unset "$variable"
done
unset CKANEXT_FILES_OWN variable

say() {
  printf '>>> %s\n' "$*" >&2
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

is_root() {
  [[ $EUID == 0 ]]
}

# The exact release that is installed for a version of CKAN.
ckan_release() {
  case $1 in
    2.11) echo 2.11.6 ;;
    2.12) echo 2.12.0 ;;
    *) die "CKAN '$1' is not supported: give one of ${CKAN_VERSIONS[*]}" ;;
  esac
}

# The first Python on PATH that CKAN can run on.
find_python() {
  local candidate
  for candidate in python3 python3.{14,13,12,11,10}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}
