#!/bin/sh
# tools/venv.sh run|dev: makes .venv from the hashed locks and installs Mailport into it, editable. `run` is what serving
# needs; `dev` adds the tests' and checks' tools. Returns at once where that has been done already.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
  run) locks="requirements/runtime.txt requirements/build.txt" ;;
  dev) locks="requirements/dev.txt" ;;
  *) echo "usage: tools/venv.sh run|dev" >&2; exit 2 ;;
esac
# dev.txt holds the other two (dev.in), so a .venv for dev does for run as well
key=$(cat requirements/*.txt pyproject.toml | cksum)
ready() { [ -x .venv/bin/mailport ] && { grep -qsx "$key" ".venv/done-$1" || grep -qsx "$key" .venv/done-dev; }; }
here() { [ "$(cat .venv/made-in 2>/dev/null)" = "$PWD" ] && .venv/bin/python -c '' 2>/dev/null; }

here && ready "$1" && exit 0
exec 9<requirements
if command -v flock >/dev/null; then
  flock 9 # two makes at once: the second waits here for the first
  here && ready "$1" && exit 0
fi

if ! here; then # none yet, or its scripts would start a Python that is gone or another folder's
  python=
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$candidate && break
  done
  if [ -z "$python" ]; then
    found=$("${PYTHON:-python3}" --version 2>/dev/null || echo none)
    echo "Mailport needs Python 3.11 or later, and found $found: apt-get install python3 python3-venv, or make PYTHON=…" >&2
    exit 1
  fi
  if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "Mailport needs Python's venv module: apt-get install python3-venv" >&2
    exit 1
  fi
  echo "making .venv with $("$python" --version)"
  rm -rf .venv
  "$python" -m venv .venv
  echo "$PWD" >.venv/made-in
fi

echo "installing into .venv what $locks lock (half a minute the first time)"
# shellcheck disable=SC2046,SC2086 # several words are meant
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps $(printf -- '-r %s ' $locks)
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
echo "$key" >".venv/done-$1"
