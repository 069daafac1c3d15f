#!/usr/bin/env bash
# Installs what is missing of Debian's packages: dev/packages.sh GROUP...
#
# The groups are python, services and browser. Nothing is installed for a service that a CKAN_*_URL variable
# names. Debian may start its own servers with the packages; they are not used.
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

has_venv() {
  "$(find_python)" -c 'import ensurepip, venv'
}

has_python_headers() {
  "$(find_python)" -c 'import sysconfig; open(sysconfig.get_path("include") + "/Python.h")'
}

# Debian's servers come with a pg_config of their own, but without the headers.
has_libpq_headers() {
  test -e "$(pg_config --includedir)/libpq-fe.h"
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

need_python() {
  need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
  need python3-venv has_venv
  need python3-dev has_python_headers
  need gcc has gcc
  need libpq-dev has_libpq_headers
  need libmagic1 has_libmagic
}

need_services() {
  if postgres_is_ours; then need postgresql has_postgres; fi
  if redis_is_ours; then need redis-server has redis-server; fi
  if solr_is_ours; then
    need curl has curl
    need default-jdk-headless has javac
    need maven has mvn
  fi
}

need_browser() {
  has_browser >/dev/null || missing+=(chromium chromium-driver)
}

for group in "$@"; do
  case $group in
    python) need_python ;;
    services) need_services ;;
    browser) ;;
    *) die "no such group of packages: $group" ;;
  esac
done
install_missing || die "apt-get failed, see $STATE/log/packages.log"
[[ " $* " != *' python '* ]] || find_python >/dev/null || die "no Python 3.10 or newer on PATH"

# Some distributions have no browser package that works everywhere: then its tests are skipped.
if [[ " $* " == *' browser '* && ! -e $STATE/run/no-browser ]]; then
  missing=()
  need_browser
  install_missing || {
    say "no browser: its tests will be skipped (to try again: rm .dev/run/no-browser)"
    touch "$STATE/run/no-browser"
  }
fi
