#!/usr/bin/env bash
# Installs what is missing of Debian's packages: dev/packages.sh [--browser]
#
# Nothing is installed for a service that a CKAN_*_URL variable names. Debian may start its own
# servers with the packages; they are not used.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$DEV/lib/postgres.sh"
source "$DEV/lib/redis.sh"
source "$DEV/lib/solr.sh"

missing=()

# need PACKAGE TEST...: the package is missing when the test fails.
need() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

has() {
  command -v "$1"
}

has_python() {
  local python
  python=$(find_python) && "$python" -c 'import ensurepip, venv'
}

has_python_headers() {
  local python
  python=$(find_python) && [[ -e $("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h ]]
}

has_libmagic() {
  compgen -G '/usr/lib/*/libmagic.so.1' || compgen -G '/usr/lib/libmagic.so.1'
}

has_postgres() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb'
}

has_browser() {
  { has chromium || has google-chrome; } && has chromedriver
}

as_root() {
  if is_root; then
    "$@"
  elif has sudo >/dev/null; then
    sudo "$@"
  else
    die "be root, or have sudo, to install: ${missing[*]}"
  fi
}

install_missing() {
  ((${#missing[@]})) || return 0
  has apt-get >/dev/null || die "install these first, there is no apt-get here: ${missing[*]}"
  say "installing ${missing[*]}"
  as_root flock "$STATE/run/packages.lock" sh -c \
    'apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"' \
    - "${missing[@]}" >"$STATE/log/packages.log" 2>&1
}

need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
need python3-venv has_python
need python3-dev has_python_headers
need gcc has gcc
need libpq-dev has pg_config
need libmagic1 has_libmagic
need curl has curl
postgres_is_ours && need postgresql has_postgres
redis_is_ours && need redis-server has redis-server
solr_is_ours && need default-jdk-headless has javac
solr_is_ours && need maven has mvn
install_missing || die "apt-get failed, see $STATE/log/packages.log"
find_python >/dev/null || die "no Python 3.10 or newer on PATH"

# Some distributions have no browser package that works everywhere: then its tests are skipped.
missing=()
if [[ ${1:-} == --browser && ! -e $STATE/run/no-browser ]] && ! has_browser >/dev/null; then
  missing=(chromium chromium-driver)
  install_missing || {
    say "no browser: its tests will be skipped (try again: rm .dev/run/no-browser)"
    touch "$STATE/run/no-browser"
  }
fi
