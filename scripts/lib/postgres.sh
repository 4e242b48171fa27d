# A Postgres of our own: on loopback and by password alone, never as root. Sourced by scripts/services.
#
# $dir/postgres/data      the data folder; elsewhere if $dir/postgres.home names another home for it
# $dir/postgres.port      stays with the folder
# $dir/postgres.password  of its superuser
# $dir/postgres.pid, .log of the last start
# shellcheck shell=bash disable=SC2154 # $dir is the sourcing script's

readonly postgres_user=annals

postgres_up() {
  postgres_find_programs
  if postgres_pid >/dev/null; then
    wait_until 60 postgres_answers || postgres_failed "runs as process $(postgres_pid) but does not answer"
  else
    check_space "$dir"
    postgres_prepare
    postgres_clear_traces
    postgres_start
  fi
  postgres_make_database
}

# By process id: INT is Postgres's fast shutdown, QUIT its immediate one, after which the next start recovers.
postgres_down() {
  local pid
  pid=$(postgres_pid) || return 0
  kill -INT "$pid" 2>/dev/null || true
  wait_until 60 postgres_gone || kill -QUIT "$pid" 2>/dev/null || true
  wait_until 10 postgres_gone || die "Postgres, process $pid, does not stop; see $dir/postgres.log."
  say "Postgres stopped"
}

postgres_destroy() {
  local pid
  if pid=$(postgres_pid); then
    kill -QUIT "$pid" 2>/dev/null || true
    wait_until 10 postgres_gone || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -rf "$(postgres_home)"
  rm -f "$dir"/postgres.{home,port,password,pid}
}

postgres_status() {
  local pid
  if ! pid=$(postgres_pid); then
    echo "postgres  stopped"
    return 1
  elif ! port_accepts "$(postgres_port)"; then
    echo "postgres  not answering, pid $pid, port $(postgres_port)"
    return 1
  fi
  echo "postgres  running, pid $pid, port $(postgres_port)"
}

postgres_url() {
  [[ ! -f $dir/postgres.port ]] ||
    echo "postgres://$postgres_user:$(remembered "$dir/postgres.password")@127.0.0.1:$(postgres_port)/annals"
}

# --- state

postgres_port() { remembered "$dir/postgres.port"; }

postgres_home() {
  if [[ -f $dir/postgres.home ]]; then cat "$dir/postgres.home"; else echo "$dir/postgres"; fi
}

postgres_data() { echo "$(postgres_home)/data"; }

# The id of the running server. Its own note counts, or ours while it has not written its own yet.
postgres_pid() {
  local data pid
  data=$(postgres_data)
  for pid in $(head -n 1 "$data/postmaster.pid" 2>/dev/null) $(remembered "$dir/postgres.pid"); do
    if process_is "$pid" "postgres -D $data -p"; then
      echo "$pid"
      return
    fi
  done
  return 1
}

postgres_gone() { ! postgres_pid >/dev/null; }

postgres_answers() { [[ $(postgres_query 'select 1' 2>/dev/null) == 1 ]]; }

postgres_query() { # SQL
  PGPASSWORD=$(remembered "$dir/postgres.password") PGCONNECT_TIMEOUT=3 \
    "$postgres_bin/psql" -XAtq -h 127.0.0.1 -p "$(postgres_port)" -U "$postgres_user" -d postgres -c "$1"
}

# --- start

# For glibc: the process that appends keeps the memory of a batch instead of giving it back to the kernel and fetching it
# again for the next one, up to a tenth of its time.
readonly postgres_memory=(MALLOC_TRIM_THRESHOLD_=16777216 MALLOC_TOP_PAD_=1048576 MALLOC_MMAP_THRESHOLD_=16777216)

# Starts the server. Where its port turns out to be taken, another one is chosen, unless clients know it already.
postgres_start() {
  local launched
  for _ in 1 2 3 4 5; do
    [[ -f $dir/postgres.port ]] || free_port | write_file "$dir/postgres.port"
    daemon / "$dir/postgres.log" "$dir/postgres.pid" \
      env "${postgres_memory[@]}" "${as_postgres[@]}" "$postgres_bin/postgres" -D "$(postgres_data)" -p "$(postgres_port)"
    launched=$!
    if wait_until 60 answers_or_died postgres_answers "$launched" && postgres_answers; then
      say "Postgres answers on 127.0.0.1:$(postgres_port)"
      return
    fi
    grep -q 'Address already in use' "$dir/postgres.log" || break
    is_published "$(postgres_port)" && die_port_taken Postgres "$dir/postgres.port"
    rm -f "$dir/postgres.port"
  done
  postgres_failed "did not start"
}

postgres_failed() { # WHAT
  show_tail "$dir/postgres.log"
  die "Postgres $1; the end of $dir/postgres.log is above."
}

postgres_make_database() {
  [[ $(postgres_query "select 1 from pg_database where datname = 'annals'") == 1 ]] ||
    postgres_query 'create database annals'
}

# After a kill -9 the server's children live on for a moment, and no new server starts beside them. And the process id
# in the dead server's note may be a stranger's by now, which Postgres would take for a running server; so the note goes
# then, but only once nobody works in the data folder any more. Looked up as the owner, whom /proc tells the truth.
postgres_clear_traces() {
  local data pid
  data=$(postgres_data)
  [[ -d /proc/self && -f $data/postmaster.pid ]] || return 0
  wait_until 30 postgres_deserted ||
    die "some processes of a killed Postgres still work in $data: stop them (see 'ps -ef') and try again."
  pid=$(head -n 1 "$data/postmaster.pid")
  [[ ! -d /proc/$pid ]] || rm -f "$data/postmaster.pid"
}

postgres_deserted() {
  # shellcheck disable=SC2016 # expanded by the inner bash
  "${as_postgres[@]}" bash -c 'for cwd in /proc/[0-9]*/cwd; do [[ ! $cwd -ef $0 ]] || exit 1; done' "$(postgres_data)"
}

# --- first start

postgres_prepare() {
  [[ ! -f $(postgres_data)/PG_VERSION ]] || return 0
  postgres_settle_home
  random_hex 16 | write_file "$dir/postgres.password"
  postgres_init
}

# The data lies in $dir where Postgres's user can reach it; a checkout under /root, say, is closed to that user, and
# then it lies in that user's own home.
postgres_settle_home() {
  local home
  [[ -d $(postgres_home) ]] || mkdir -m 700 "$(postgres_home)"
  is_root || return 0
  chown postgres: "$(postgres_home)"
  ! "${as_postgres[@]}" test -w "$(postgres_home)" || return 0
  # shellcheck disable=SC2016 # expanded by the inner bash
  home=$("${as_postgres[@]}" bash -c 'mktemp -d ~postgres/annals-XXXXXX') ||
    die "the user postgres can reach neither $dir nor its own home: choose a folder it can (scripts/services up DIR)."
  rmdir "$dir/postgres"
  write_file "$dir/postgres.home" <<<"$home"
  say "the user postgres cannot reach $dir; its data lies in $home"
}

postgres_init() {
  local home sync=()
  home=$(postgres_home)
  [[ ${ANNALS_SERVICES_FAST:-} != 1 ]] || sync=(--no-sync)
  rm -rf "$home/data.new"
  # shellcheck disable=SC2016 # expanded by the inner bash
  remembered "$dir/postgres.password" | "${as_postgres[@]}" bash -c 'umask 077; cat >"$0"' "$home/password"
  "${as_postgres[@]}" "$postgres_bin/initdb" -D "$home/data.new" -U "$postgres_user" --pwfile="$home/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale="$LC_ALL" --data-checksums "${sync[@]}" >"$dir/postgres.log" 2>&1 ||
    postgres_failed "could not make its data folder"
  rm -f "$home/password"
  postgres_settings >>"$home/data.new/postgresql.conf"
  # The last step: a data folder that is there is whole.
  mv "$home/data.new" "$home/data"
}

postgres_settings() {
  cat <<'CONF'

# --- from scripts/services
listen_addresses = '127.0.0.1'
unix_socket_directories = ''   # clients come over TCP; a socket's path may be too long for the system
max_connections = 300
shared_buffers = '256MB'
max_wal_size = '4GB'
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'              # scripts/services reads the log
CONF
  [[ ${ANNALS_SERVICES_FAST:-} != 1 ]] || cat <<'CONF'
# ANNALS_SERVICES_FAST=1: data that may be lost
fsync = off
synchronous_commit = off
full_page_writes = off
CONF
}

# Sets $postgres_bin and $as_postgres. Data is served by the version that made it; new data by the newest one there is.
postgres_find_programs() {
  local made_by=''
  made_by=$(remembered "$(postgres_data)/PG_VERSION")
  postgres_bin=$(postgres_find_bin "$made_by") || postgres_bin=''
  [[ -n $postgres_bin || -z $made_by ]] ||
    die "the data in $(postgres_data) was made by Postgres $made_by, which is not installed (any more):" \
      "install it, or start anew with scripts/services destroy."
  if [[ -z $postgres_bin ]]; then
    may_install ||
      die "there is no Postgres on this machine: $(how_to_install postgresql), or install Docker," \
        "or set ANNALS_DATABASE_URL to a server you have."
    apt_install_postgres
    postgres_bin=$(postgres_find_bin '') || die "postgresql is installed, but its programs cannot be found."
  fi
  as_postgres=()
  is_root || return 0
  id postgres >/dev/null 2>&1 ||
    die "Postgres refuses to run as root, and there is no user 'postgres' to run it as: make one (useradd -rm postgres)."
  as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --)
}

postgres_find_bin() { # MAJOR_VERSION or nothing
  local bin
  for bin in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5 -rV) \
    "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(command -v postgres 2>/dev/null)")"; do
    [[ -x $bin/initdb && -x $bin/postgres && -x $bin/psql ]] || continue
    [[ -z $1 || $("$bin/postgres" --version) =~ \ $1(\.|$|[a-z]|\ ) ]] || continue
    echo "$bin"
    return
  done
  return 1
}
