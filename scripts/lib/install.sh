# Installs what is missing where it may: as root on a system with apt-get, unless ANNALS_INSTALL=no. Sourced.
# shellcheck shell=bash

may_install() {
  is_root && have apt-get && [[ ${ANNALS_INSTALL:-yes} != no ]]
}

# Installs each PACKAGE; of one written a|b|c the first that this system knows.
apt_install() { # PACKAGE…
  local log names=() name
  log=$(mktemp)
  apt_get update >"$log" 2>&1 || apt_failed "$log" "update its lists"
  for name in "$@"; do
    names+=("$(apt_first_known "$name")")
  done
  say "installing ${names[*]}"
  apt_get install -y --no-install-recommends "${names[@]}" >"$log" 2>&1 || apt_failed "$log" "install ${names[*]}"
  rm -f "$log"
}

apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

apt_first_known() { # a|b|c
  local name names
  IFS='|' read -ra names <<<"$1"
  for name in "${names[@]}"; do
    apt-cache show "$name" >/dev/null 2>&1 && break
  done
  echo "$name"
}

apt_failed() { # LOG WHAT
  show_tail "$1"
  rm -f "$1"
  die "apt-get could not $2; its last words are above."
}

# One program of PACKAGE, in FOLDER, without installing the package and the service that comes with it.
apt_extract() { # PACKAGE PROGRAM FOLDER
  local new
  mkdir -p "$3"
  new=$(mktemp -d "$3/new.XXXXXX")
  apt_get update >/dev/null 2>&1 || true
  (cd "$new" && apt_get -o APT::Sandbox::User=root download "$1" >/dev/null 2>&1 && dpkg-deb -x ./*.deb . &&
    mv "usr/bin/$2" "$3/") || say "(apt-get has no $2 of $1)"
  rm -rf "$new"
}

# Debian's package makes a cluster "main" and starts it on port 5432, which nobody asked for here. Its own setting
# against that is in force for this one installation only.
apt_install_postgres() {
  local folder=/etc/postgresql-common/createcluster.d status=0
  local setting=$folder/annals-no-main-cluster.conf
  mkdir -p "$folder"
  printf 'create_main_cluster = false\n' >"$setting"
  (apt_install postgresql) || status=$?
  rm -f "$setting"
  rmdir --ignore-fail-on-non-empty "$folder"
  [[ $status -eq 0 ]] || exit "$status"
}

# What a person has to type where we may not install.
how_to_install() { # PACKAGE…
  if have apt-get; then
    printf "run 'sudo apt-get install %s'" "$*"
  else
    printf "install it with your system's package manager (Debian calls it %s)" "$*"
  fi
}
