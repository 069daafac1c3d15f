# shellcheck shell=bash
# A Redis server of our own, on the loopback address, that keeps nothing on disk.

redis_is_ours() {
  [[ -z ${CKAN_REDIS_URL:-} ]]
}

redis_start() {
  is_up redis && return
  stop_process redis
  say "starting Redis"
  pick_port redis
  mkdir -p "$STATE/redis"
  setsid redis-server --bind 127.0.0.1 --port "$(port_of redis)" --dir "$STATE/redis" \
    --save '' --appendonly no </dev/null >"$STATE/log/redis.log" 2>&1 &
  remember_process redis $!
  wait_for redis 20 is_up redis
}

redis_stop() {
  stop_process redis
}

redis_url() {
  echo "redis://127.0.0.1:$(port_of redis)/$1"
}
