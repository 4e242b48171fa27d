# An Apache Kafka of our own, in KRaft mode, one process, from its published jars. Sourced.
#
# $cache/kafka/<version>     the jars, fetched once by Maven
# $dir/kafka                 the data folder
# $dir/kafka.cluster-id      written once the data folder is formatted
# $dir/kafka.port            stays with the folder
# $dir/kafka.properties      made anew at each start
# $dir/kafka.pid, .log       of the last start
#
# For a broker with more than the usual: ANNALS_KAFKA_PROPERTIES names a file that goes behind server.properties,
# ANNALS_KAFKA_FORMAT holds more arguments of the first format.
# shellcheck shell=bash disable=SC2154 # $root, $cache and $dir are the sourcing script's

readonly kafka_files=$root/scripts/kafka
kafka_version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$kafka_files/pom.xml")
readonly kafka_version

kafka_up() {
  if kafka_pid >/dev/null; then
    wait_until 60 kafka_answers || kafka_failed "runs as process $(kafka_pid) but does not answer"
    return
  fi
  check_space "$dir"
  kafka_find_java
  kafka_fetch
  kafka_start
}

kafka_down() {
  local pid
  pid=$(kafka_pid) || return 0
  kill -TERM "$pid" 2>/dev/null || true
  wait_until 30 kafka_gone || kill -KILL "$pid" 2>/dev/null || true
  wait_until 10 kafka_gone || die "Kafka, process $pid, does not stop; see $dir/kafka.log."
  say "Kafka stopped"
}

kafka_destroy() {
  local pid
  if pid=$(kafka_pid); then
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 10 kafka_gone || true
  fi
  rm -rf "$dir/kafka"
  rm -f "$dir"/kafka.{cluster-id,port,properties,pid}
}

kafka_status() {
  local pid
  if ! pid=$(kafka_pid); then
    echo "kafka     stopped"
    return 1
  elif ! kafka_answers; then
    echo "kafka     not answering, pid $pid, port $(kafka_port)"
    return 1
  fi
  echo "kafka     running, pid $pid, port $(kafka_port)"
}

kafka_brokers() {
  [[ ! -f $dir/kafka.port ]] || echo "127.0.0.1:$(kafka_port)"
}

# --- state

kafka_port() { remembered "$dir/kafka.port"; }

kafka_pid() {
  local pid
  pid=$(remembered "$dir/kafka.pid")
  process_is "$pid" "kafka.Kafka $dir/kafka.properties" && echo "$pid"
}

kafka_gone() { ! kafka_pid >/dev/null; }

# Asks for the versions of the protocol, the first thing every client does, in 14 bytes: the length of the rest, api key
# 18 in version 0, correlation id 1, no client id. A broker that accepts a connection may not be up yet; one that
# answers this is. The answer begins with its length and our correlation id.
kafka_answers() {
  local answer
  answer=$({
    exec 3<>"/dev/tcp/127.0.0.1/$(kafka_port)" &&
      printf '\0\0\0\012\0\022\0\0\0\0\0\001\377\377' >&3 &&
      timeout 3 head -c 8 <&3 | od -An -tx1 | tr -d ' \n'
  } 2>/dev/null) || return 1
  [[ $answer == ????????00000001 ]]
}

# Of the start that is under way: another Kafka may answer on a port that this one did not get.
kafka_started() {
  grep -q 'Kafka Server started' "$dir/kafka.log" && kafka_answers
}

# --- start

# As with Postgres, the broker gets another port only while nobody knows it. The controller's is nobody else's business
# and another one at each start.
kafka_start() {
  local launched
  for _ in 1 2 3 4 5; do
    [[ -f $dir/kafka.port ]] || free_port | write_file "$dir/kafka.port"
    kafka_properties | write_file "$dir/kafka.properties"
    kafka_format
    kafka_launch
    launched=$!
    if wait_until 60 answers_or_died kafka_started "$launched" && kafka_started; then
      say "Kafka answers on 127.0.0.1:$(kafka_port)"
      return
    fi
    grep -q 'Address already in use' "$dir/kafka.log" || break
    # Else it was the controller's port.
    port_accepts "$(kafka_port)" || continue
    is_published "$(kafka_port)" && die_port_taken Kafka "$dir/kafka.port"
    rm -f "$dir/kafka.port"
  done
  kafka_failed "did not start"
}

kafka_launch() {
  local options=(-Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
  # For a benchmark of the broker: ANNALS_KAFKA_JVM='-Xms1g -Xmx1g'.
  [[ -z ${ANNALS_KAFKA_JVM:-} ]] || read -ra options <<<"$ANNALS_KAFKA_JVM"
  daemon "$dir" "$dir/kafka.log" "$dir/kafka.pid" \
    "$java" "${options[@]}" "${kafka_java[@]}" kafka.Kafka "$dir/kafka.properties"
}

kafka_failed() { # WHAT
  show_tail "$dir/kafka.log"
  die "Kafka $1; the end of $dir/kafka.log is above."
}

kafka_properties() {
  local text
  text=$(<"$kafka_files/server.properties")
  # Of two lines for one setting the last one counts.
  [[ -z ${ANNALS_KAFKA_PROPERTIES:-} ]] || text+=$'\n'$(<"$ANNALS_KAFKA_PROPERTIES")
  text=${text//@CONTROLLER_PORT@/$(free_port "$(kafka_port)")}
  printf '%s\n' "${text//@PORT@/$(kafka_port)}"
}

# Until its cluster id is written down the data folder is not in use, and one left over by an interrupted start may go.
kafka_format() {
  local id more=()
  [[ ! -f $dir/kafka.cluster-id ]] || return 0
  rm -rf "$dir/kafka"
  id=$(kafka_random_id)
  # What only a format can do, such as a first user: --add-scram.
  [[ -z ${ANNALS_KAFKA_FORMAT:-} ]] || read -ra more <<<"$ANNALS_KAFKA_FORMAT"
  (cd "$dir" && "$java" -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "${kafka_java[@]}" \
    kafka.tools.StorageTool format -t "$id" -c "$dir/kafka.properties" "${more[@]}") >"$dir/kafka.log" 2>&1 ||
    kafka_failed "could not format its data folder"
  write_file "$dir/kafka.cluster-id" <<<"$id"
}

# 16 random bytes in URL-safe base64; not with a dash in front, which the tools would take for an option.
kafka_random_id() {
  local id=-
  while [[ $id == -* ]]; do
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
  done
  echo "$id"
}

# --- programs

# Sets $java and the arguments every call of it takes.
kafka_find_java() {
  java=$(kafka_java_17) || java=''
  if [[ -z $java ]]; then
    may_install ||
      die "Kafka needs Java 17 or newer, and there is none: $(how_to_install openjdk-17-jre-headless)," \
        "or install Docker, or set ANNALS_KAFKA_BROKERS to brokers you have."
    apt_install 'openjdk-17-jre-headless|openjdk-21-jre-headless|openjdk-25-jre-headless|default-jre-headless'
    java=$(kafka_java_17) || die "a Java is installed, but none of version 17 or newer can be found."
  fi
  kafka_java=("-Dlog4j2.configurationFile=$kafka_files/log4j2.properties" -cp "$(kafka_jars)/*")
}

kafka_jars() { echo "$cache/kafka/$kafka_version"; }

kafka_java_17() {
  local candidate version
  for candidate in "${JAVA_HOME:-}/bin/java" "$(command -v java)" /usr/lib/jvm/*/bin/java; do
    [[ -x $candidate ]] || continue
    version=$("$candidate" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    if [[ $version -ge 17 ]]; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# Into a folder beside, then under its name: jars that are there are all there. The lock makes a second one wait for the
# first instead of fetching the same.
kafka_fetch() {
  local new maven=(mvn -q -B -f "$kafka_files/pom.xml") home
  [[ ! -d $(kafka_jars) ]] || return 0
  mkdir -p "$cache/kafka"
  exec 8>"$cache/kafka/lock"
  flock 8
  if [[ ! -d $(kafka_jars) ]]; then
    kafka_find_maven
    check_space "$cache"
    rm -rf "$cache"/kafka/new.*
    new=$(mktemp -d "$cache/kafka/new.XXXXXX")
    # Maven keeps its own cache in the home folder; an account without one gets it here.
    eval "home=~$(id -un)"
    [[ -w $home ]] || maven+=("-Dmaven.repo.local=$cache/maven")
    say "fetching Apache Kafka $kafka_version, some 50 MB, once"
    "${maven[@]}" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$new" >"$cache/kafka/maven.log" 2>&1 || {
      show_tail "$cache/kafka/maven.log"
      die "Maven could not fetch Apache Kafka (its last words are above): is there a network?" \
        "A proxy or mirror goes into $home/.m2/settings.xml."
    }
    chmod 755 "$new"
    mv "$new" "$(kafka_jars)"
  fi
  exec 8>&-
}

kafka_find_maven() {
  ! have mvn || return 0
  may_install ||
    die "Maven, which fetches Apache Kafka, is missing: $(how_to_install maven)," \
      "or install Docker, or set ANNALS_KAFKA_BROKERS to brokers you have."
  apt_install maven
}
