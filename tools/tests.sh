#!/bin/sh
# tools/tests.sh ARGUMENT…: pytest with these arguments. Where a few tests fail, they run once more, one after the other
# and with nothing beside them (tests/once_more.py); one that fails again fails the run.
set -u
pytest="$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/pytest"
again=$(mktemp)
trap 'rm -f "$again"' EXIT
"$pytest" --once-more="$again" "$@"
status=$?
[ "$status" = 1 ] && [ -s "$again" ] || exit "$status"
"$pytest" "@$again"
