# shellcheck shell=bash
# A PostgreSQL cluster of our own, with fsync on: crash tests must find what a real server keeps.
#
# It listens on the loopback address and in its own folder only. PostgreSQL refuses to run as
# root, and its system user cannot look into root's folders: so the data is in /var/tmp.

POSTGRES_HOME=/var/tmp/ckanext-files-$EUID-$(cksum <<<"$ROOT" | cut -d ' ' -f 1)
POSTGRES_DATA=$POSTGRES_HOME/data
POSTGRES_PASSWORD_FILE=$STATE/run/postgres.password

postgres_is_ours() {
  [[ -z ${CKAN_SQLALCHEMY_URL:-} ]]
}

as_postgres() {
  if is_root; then
    (cd / && PATH=$PATH:/usr/sbin:/sbin runuser -u postgres -- "$@")
  else
    (cd / && "$@")
  fi
}

postgres_bin() {
  local version folder
  version=$(cat "$POSTGRES_DATA/PG_VERSION" 2>/dev/null || true)
  folder=$(find /usr/lib/postgresql -maxdepth 2 -path "*/${version:-*}/bin" 2>/dev/null | sort -V | tail -n 1)
  [[ -n $folder ]] || die "no PostgreSQL ${version:-} in /usr/lib/postgresql"
  echo "$folder"
}

# Answers as the cluster's administrator.
postgres_admin() {
  as_postgres "$(postgres_bin)/psql" -X -q -A -t -v ON_ERROR_STOP=1 \
    -h "$POSTGRES_HOME" -p "$(port_of postgres)" -d postgres "$@"
}

postgres_create_cluster() {
  local owner
  say "making a PostgreSQL cluster in $POSTGRES_HOME"
  owner=$(as_postgres id -un)
  mkdir -m 700 "$POSTGRES_HOME" 2>/dev/null || true
  if is_root; then chown postgres: "$POSTGRES_HOME"; fi
  # /var/tmp is open to everybody: somebody else may have made a folder of this name.
  [[ $(stat -c %U:%a "$POSTGRES_HOME") == "$owner:700" ]] || die "$POSTGRES_HOME is not ours alone"
  as_postgres rm -rf "$POSTGRES_DATA.new"
  as_postgres "$(postgres_bin)/initdb" -D "$POSTGRES_DATA.new" \
    --auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 \
    >"$STATE/log/initdb.log"
  as_postgres tee -a "$POSTGRES_DATA.new/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$POSTGRES_HOME'
max_connections = 300
CONF
  as_postgres mv "$POSTGRES_DATA.new" "$POSTGRES_DATA"
}

postgres_create_role() {
  local password
  if [[ ! -s $POSTGRES_PASSWORD_FILE ]]; then
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$POSTGRES_PASSWORD_FILE")
  fi
  password=$(cat "$POSTGRES_PASSWORD_FILE")
  [[ -n $(postgres_admin -c "SELECT 1 FROM pg_roles WHERE rolname = 'ckan_default'") ]] \
    || postgres_admin -c 'CREATE ROLE ckan_default LOGIN CREATEDB'
  postgres_admin <<<"ALTER ROLE ckan_default PASSWORD '$password'"
}

# Tells whether a server of this cluster runs that a killed script has not remembered; its working
# folder proves that the process id has not gone to somebody else.
postgres_left_behind() {
  local pid
  pid=$(head -n 1 "$POSTGRES_DATA/postmaster.pid" 2>/dev/null) \
    && [[ $(as_postgres readlink "/proc/$pid/cwd") == "$POSTGRES_DATA" ]]
}

postgres_shut_down() {
  as_postgres "$(postgres_bin)/pg_ctl" stop -D "$POSTGRES_DATA" -m fast -s
}

postgres_start() {
  is_up postgres && return
  [[ -s $POSTGRES_DATA/PG_VERSION ]] || postgres_create_cluster
  say "starting PostgreSQL"
  if postgres_left_behind; then postgres_shut_down; fi
  pick_port postgres
  as_postgres "$(postgres_bin)/pg_ctl" start -D "$POSTGRES_DATA" -s -w \
    -l "$POSTGRES_HOME/log" -o "-p $(port_of postgres)" \
    || die "PostgreSQL did not start, see $POSTGRES_HOME/log"
  remember_process postgres "$(head -n 1 "$POSTGRES_DATA/postmaster.pid")"
  postgres_create_role
}

postgres_stop() {
  if process_of postgres >/dev/null; then postgres_shut_down; fi
  forget_process postgres
}

postgres_url() {
  echo "postgresql://ckan_default:$(cat "$POSTGRES_PASSWORD_FILE")@127.0.0.1:$(port_of postgres)/$1"
}

postgres_create_database() {
  [[ -n $(postgres_admin -c "SELECT 1 FROM pg_database WHERE datname = '$1'") ]] \
    || postgres_admin -c "CREATE DATABASE $1 OWNER ckan_default"
}
