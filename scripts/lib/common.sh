# What the scripts share: messages, files, ports, waiting, processes. Sourced; needs bash 4.4.
# shellcheck shell=bash disable=SC2154 # $root is the sourcing script's

# What is fetched once and kept. Outside a login shell Rust may not be on the path yet.
cache=${ANNALS_CACHE:-$root/.cache}
[[ $cache == /* ]] || cache=$PWD/$cache
PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin

say() { printf '%s\n' "$*" >&2; }

# One sentence that says what is wrong and what to do, and the end.
die() {
  say "${0##*/}: $*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [[ $EUID -eq 0 ]]; }

# --- files

# Writes stdin to FILE so that no reader ever sees half of it; private, because most of these hold a password.
write_file() { # FILE
  local new
  new=$(mktemp "$1.XXXXXX")
  cat >"$new"
  mv -f "$new" "$1"
}

# The content of FILE, or nothing.
remembered() { # FILE
  [[ ! -f $1 ]] || cat "$1"
}

random_hex() { # BYTES
  od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

# A start on a disk that is about to fill up fails late and obscurely; say it early and plainly.
check_space() { # FOLDER
  local free_kb
  free_kb=$(df -Pk "$1" | awk 'NR == 2 { print $4 }')
  [[ $free_kb -ge 1048576 ]] ||
    die "only $((free_kb / 1024)) MB are free on the disk of $1, and Postgres and Kafka need at least 1024:" \
      "free some space or choose another folder (scripts/services up DIR)."
}

# --- ports

port_accepts() { # PORT
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port nobody listens on, other than NOT, below the range that the kernel gives to outgoing connections. Another process
# may still take it before we bind it: whoever starts a server on it tries another one then.
free_port() { # [NOT]
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    [[ $port == "${1:-}" ]] || port_accepts "$port" || break
  done
  printf '%s\n' "$port"
}

# --- waiting

# Runs COMMAND until it succeeds; fails after SECONDS.
wait_until() { # SECONDS COMMAND…
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# --- processes

# Whether PID lives and its command line holds each TEXT. A number alone proves nothing: it may have been given to a
# stranger since it was written down.
process_is() { # PID TEXT…
  local pid=$1 line text
  shift
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  if [[ -d /proc/self ]]; then
    line=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
  else
    line=$(ps -ww -o args= -p "$pid" 2>/dev/null) || return 1
  fi
  for text in "$@"; do
    [[ $line == *"$text"* ]] || return 1
  done
}

# Starts COMMAND as a daemon: a session of its own, so that Ctrl-C in this terminal does not reach it, and none of our
# open files, so that neither the lock nor a pipe that somebody reads from us stays open as long as it lives.
daemon() { # FOLDER LOG PIDFILE COMMAND…
  local folder=$1 log=$2 pidfile=$3 fd
  shift 3
  # One earlier log is kept; so the current one tells of this start alone.
  [[ ! -f $log ]] || mv -f "$log" "$log.1"
  (
    cd "$folder" || exit
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      [[ $fd -le 2 || $fd -eq 255 ]] || eval "exec $fd>&-"
    done
    # shellcheck disable=SC2016 # expanded by the inner bash: it writes down its id and becomes the command
    exec setsid bash -c 'printf "%s\n" $$ >"$0" && exec "$@"' "$pidfile" "$@"
  ) </dev/null >"$log" 2>&1 &
}

# Runs COMMAND in a session of its own and waits for it. So a signal to this script is handled at once, not only when
# the command has ended, and Ctrl-C reaches nobody but this script, which then ends the job in its own order.
run_job() { # COMMAND…
  setsid "$@" &
  job=$!
  wait "$job"
}

# Ends what run_job started, with all its children: politely, after SECONDS no longer.
stop_job() { # SECONDS
  [[ -n ${job:-} ]] || return 0
  kill -TERM -- "-$job" 2>/dev/null || return 0
  wait_until "$1" job_gone || kill -KILL -- "-$job" 2>/dev/null || true
}

job_gone() { ! kill -0 -- "-$job" 2>/dev/null; }

# The end of a log, indented, for an error that speaks of it.
show_tail() { # LOG
  [[ ! -s $1 ]] || tail -n 20 "$1" | sed 's/^/  | /' >&2
}

# For waiting on a start: an end to it, either way. The caller asks again which one.
answers_or_died() { # ANSWERS PID
  "$1" || ! kill -0 "$2" 2>/dev/null
}
