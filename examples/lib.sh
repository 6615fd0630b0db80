# What the examples have in common: `. "$(dirname "$0")/../lib.sh"` in examples/NAME/run, which `make example NAME=NAME`
# runs with `mailport` in PATH. All that runs and is written goes with the script's end; nothing else is touched.
# shellcheck shell=sh
set -eu
PATH="$PATH:/usr/sbin:/sbin" # where Debian has mail servers, and not every user looks

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/mailport-example.XXXXXX")
chmod 755 "$work" # servers run as users of their own
port=${PORT:-2625} # of the gateway; not those of `make run`, which may be serving
next_port=${NEXT_PORT:-2626} # of its other side
started=
user=$(id -un) group=$(id -gn)
mail_user=$user mail_group=$group # whose mailboxes are: mail servers write none as root
[ "$(id -u)" != 0 ] || mail_user=nobody mail_group=nogroup

end() {
  status=$?
  trap - EXIT INT TERM
  for pid in $started; do kill "$pid" 2>/dev/null || true; done
  for pid in $started; do wait "$pid" 2>/dev/null || true; done
  [ "$status" = 0 ] || tail -n 20 "$work"/*.log >&2 2>/dev/null || true
  command -v stop >/dev/null && stop # of servers that go into the background by themselves
  rm -rf "$work"
  exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# say TEXT: what comes next
say() { printf '\n--- %s\n' "$*"; }

# fail TEXT
fail() { printf 'example: %s\n' "$*" >&2; exit 1; }

# in_use PORT: whether somebody listens there
in_use() { python3 -c '
import socket, sys
with socket.socket() as probe:
    sys.exit(probe.connect_ex(("127.0.0.1", int(sys.argv[1]))) != 0)
' "$1"; }

# needs_free_ports: ends the script where its ports are another server's, to which the message would go
needs_free_ports() {
  for one in "$port" "$next_port"; do
    ! in_use "$one" || fail "port $one is in use: make example NAME=$(basename "$here") PORT=… NEXT_PORT=…"
  done
}

# needs PROGRAM PACKAGE
needs() { command -v "$1" >/dev/null || fail "needs $1: as root, apt-get install $2 (or make setup)"; }

# tool NAME: builds a server that the tests use too, once, and prints where it is
tool() {
  "$here/../../tools/kube.sh" "$1" | sed '$d' >&2 # its last line is about the tests
  "$here/../../tools/kube.sh" --where "$1" || fail "tools/kube.sh has not built $1"
}

# fill FILE…: copies files of the example to $work, with ports, folder and user filled in
fill() {
  for file in "$@"; do
    sed -e "s|@WORK@|$work|g; s|@USER@|$user|g; s|@GROUP@|$group|g" \
      -e "s|@MAIL_USER@|$mail_user|g; s|@MAIL_GROUP@|$mail_group|g" \
      -e "s|port: 2525|port: @PORT@|; s|port: 2526|port: @NEXT_PORT@|; s|127.0.0.1:2526|127.0.0.1:@NEXT_PORT@|" \
      -e "s|@PORT@|$port|g; s|@NEXT_PORT@|$next_port|g" \
      "$here/$file" >"$work/$file"
  done
}

# mailboxes: makes the folder $work/mail for those who write mail
mailboxes() {
  mkdir "$work/mail"
  [ "$(id -u)" != 0 ] || chown "$mail_user:$mail_group" "$work/mail"
}

# start NAME COMMAND…: runs it beside the script, with its log in $work/NAME.log
start() {
  name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  started="$! $started"
}

# until_ready WHAT COMMAND…: waits until the command succeeds, for 30 s
until_ready() {
  what=$1
  shift
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 150 ] || fail "not ready in 30 s: $what"
    sleep 0.2
  done
}

# answers PORT: whether a mail server greets there
answers() { printf 'QUIT\r\n' | timeout 2 python3 -c '
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1) as server:
    sys.exit(not server.recv(3).startswith(b"220"))
' "$1"; }

# gateway FILE…: checks that the other side can be reached, and serves
gateway() {
  files=
  for file in "$@"; do files="$files -f $work/$file"; done
  say "what mailport finds, before anything is served"
  # shellcheck disable=SC2086 # several words are meant
  mailport validate --connect --allow-local-destinations $files
  # shellcheck disable=SC2086
  start serve mailport serve --allow-local-destinations --data "$work/var" $files
  until_ready "mailport serve" answers "$port"
}
