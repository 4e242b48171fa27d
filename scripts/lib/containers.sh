# The same two servers out of docker-compose.yml, where a container engine works. Sourced by scripts/services.
#
# $dir/containers           the name of the composed project: each folder has its own, so two stacks do not meet
# $dir/postgres.password, $dir/{postgres,kafka}.port  as with local processes
# shellcheck shell=bash disable=SC2154 # $root and $dir are the sourcing script's

containers_work() {
  have docker && timeout 10 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

containers_up() { # SERVICE…
  local service
  [[ -f $dir/containers ]] || write_file "$dir/containers" <<<"annals-$(cksum <<<"$dir" | cut -d' ' -f1)"
  [[ -f $dir/postgres.password ]] || random_hex 16 | write_file "$dir/postgres.password"
  for _ in 1 2 3 4 5; do
    for service in postgres kafka; do
      [[ -f $dir/$service.port ]] || free_port | write_file "$dir/$service.port"
    done
    if compose up -d --wait "$@" 2>&1 | tee "$dir/containers.log" >&2; then
      return
    fi
    grep -qiE 'already allocated|already in use' "$dir/containers.log" || break
    for service in postgres kafka; do
      is_published "$(remembered "$dir/$service.port")" || rm -f "$dir/$service.port"
    done
  done
  die "docker compose could not start $*; its words are above."
}

containers_down() { # SERVICE…
  compose stop "$@" >&2
}

containers_destroy() {
  compose down --volumes >&2
  rm -f "$dir"/containers "$dir"/postgres.{password,port} "$dir/kafka.port"
}

containers_status() { # SERVICE
  if compose ps --status running --services 2>/dev/null | grep -qx "$1"; then
    printf '%-9s running, container of project %s\n' "$1" "$(<"$dir/containers")"
  else
    printf '%-9s stopped\n' "$1"
    return 1
  fi
}

compose() {
  local fast=''
  [[ ${ANNALS_SERVICES_FAST:-} != 1 ]] || fast='-c fsync=off -c synchronous_commit=off -c full_page_writes=off'
  POSTGRES_PASSWORD=$(remembered "$dir/postgres.password") POSTGRES_OPTIONS=$fast \
    POSTGRES_PORT=$(remembered "$dir/postgres.port") KAFKA_PORT=$(remembered "$dir/kafka.port") \
    docker compose --project-directory "$root" --project-name "$(<"$dir/containers")" "$@"
}
