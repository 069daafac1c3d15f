# shellcheck shell=bash
# A command that uses the services: they stay up while it runs, and it gets this script's signals.

# Services run for as long as somebody holds this lock, on file descriptor 9: see dev/services.sh.
hold_services() {
  trap release_services EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  exec 9>>"$STATE/run/users.lock"
  flock -s 9
}

release_services() {
  exec 7>&- 9>&-
  "$DEV/services.sh" release
}

# The terminal sends an interrupt to the command as well, other signals are passed on.
run_command() {
  local child status
  # What runs in the background would otherwise ignore interrupts and have no input. Whatever the
  # command leaves behind must hold none of our locks.
  env --default-signal=INT,QUIT "$@" <&0 7>&- 9>&- &
  child=$!
  # shellcheck disable=SC2064 # this child
  trap "interrupted=1; kill -TERM $child 2>/dev/null" HUP TERM
  trap 'interrupted=1' INT
  while true; do
    status=0
    wait "$child" || status=$?
    kill -0 "$child" 2>/dev/null || return "$status"
  done
}
