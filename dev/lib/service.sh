# shellcheck shell=bash
# A service of ours: a process that we started, on a port of its own that is remembered.
#
# Its process id is kept with the time at which the process started, so that a process that got
# the same number later, after a reboot for instance, is never taken for ours.

start_time() {
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  # The name in parentheses may contain spaces, so count from its end.
  read -ra stat <<<"${stat##*) }"
  # A dead process that nobody has waited for still has an entry.
  [[ ${stat[0]} != Z ]] && echo "${stat[19]}"
}

remember_process() {
  echo "$2 $(start_time "$2")" >"$STATE/run/$1.pid"
}

forget_process() {
  rm -f "$STATE/run/$1.pid"
}

# The process id of the service when it is alive.
process_of() {
  local pid started
  read -r pid started 2>/dev/null <"$STATE/run/$1.pid" || return 1
  [[ $(start_time "$pid") == "$started" ]] || return 1
  echo "$pid"
}

answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The port of the service; picked below the range from which the kernel takes outgoing ones.
port_of() {
  cat "$STATE/run/$1.port"
}

pick_port() {
  local port
  if [[ -s $STATE/run/$1.port ]] && ! answers "$(port_of "$1")"; then
    return
  fi
  while port=$((20000 + RANDOM % 12000)); answers "$port"; do :; done
  echo "$port" >"$STATE/run/$1.port"
}

is_up() {
  process_of "$1" >/dev/null && answers "$(port_of "$1")"
}

# Runs a command, for a number of seconds at most, until it succeeds or the service has died.
wait_for() {
  local name=$1 seconds=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@"; do
    process_of "$name" >/dev/null || die "$name did not start, see $STATE/log/$name.log"
    ((SECONDS < end)) || die "$name did not answer within $seconds s, see $STATE/log/$name.log"
    sleep 0.1
  done
}

stop_process() {
  local name=$1 pid end=$((SECONDS + 30))
  if pid=$(process_of "$name"); then
    kill "$pid"
    while process_of "$name" >/dev/null; do
      ((SECONDS < end)) || die "$name (process $pid) does not stop"
      sleep 0.05
    done
  fi
  forget_process "$name"
}
