#!/bin/sh
# tools/compiled.sh: prints a folder with what a wheel of this source holds, compiled as in the image (hatch_build.py); makes
# it where the source is another than last time, in a minute or two, in the user's cache folder. Python runs it with that
# folder as PYTHONPATH. For tests/test_compiled.py and `make bench`; takes what `make setup` installs.
set -eu
cd "$(dirname "$0")/.."

all=${XDG_CACHE_HOME:-$HOME/.cache}/mailport/compiled
python=.venv/bin/python
key=$({ cat hatch_build.py pyproject.toml requirements/dev.txt && find src -name '*.py' -o -name '*.c' | LC_ALL=C sort | xargs cat &&
  "$python" -VV; } | cksum | tr ' ' -)

mkdir -p "$all"
exec 9<"$all"
! command -v flock >/dev/null || flock 9 # two at once: the second waits here for the first
if [ ! -e "$all/$key" ]; then
  find "$all" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} + # of earlier sources
  new=$all/new
  rm -rf "$new"
  MAILPORT_COMPILE=1 "$python" -m hatchling build -t wheel -d "$new" >"$all/log" 2>&1 || { cat "$all/log" >&2; exit 1; }
  "$python" -m zipfile -e "$new"/*.whl "$new/content"
  mv "$new/content" "$all/$key"
  rm -rf "$new"
fi
echo "$all/$key"
