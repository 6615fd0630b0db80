#!/bin/sh
# Fetches what others published for the tests of sender authentication, where it is not there, into the user's cache folder:
# the SPF suite out of pyspf's source distribution, the ARC suite out of its own repository, since no package has it. (dkimpy's
# messages are fetched by their test.) Nothing is copied into the project. $MAILPORT_SUITES, or the folder shared/suites beside
# the checkout, may have them already.
set -eu
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailport/suites
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT

there() {
  for folder in "${MAILPORT_SUITES:-../shared/suites}" "$cache"; do
    [ ! -e "$folder/$1" ] || return 0
  done
  return 1
}

# keep FILE SUITE SHA256: into the cache, if it is the very file that the tests count the cases of
keep() {
  echo "$3  $1" | sha256sum --check --quiet
  mkdir -p "$cache/$(dirname "$2")"
  cp "$1" "$cache/$2.new"
  mv "$cache/$2.new" "$cache/$2"
}

suite=spf/rfc7208-tests.yml
if ! there $suite; then
  .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary=:all: --dest="$fetched" pyspf==2.0.14
  tar -xzf "$fetched"/pyspf-*.tar.gz -C "$fetched"
  keep "$fetched"/pyspf-*/test/rfc7208-tests.yml $suite 901f561a6e2b1c1590a40a61b1ac7601226fd7045a7aae591a4d25421358d6f9
fi

suite=arc/arc-draft-validation-tests.yml
if ! there $suite; then
  if git clone --quiet --depth=1 https://github.com/ValiMail/arc_test_suite "$fetched/arc"; then
    keep "$fetched/arc/tests/arc-draft-validation-tests.yml" $suite 629d8a36f685602d2cee08126fae9f00d357141f79c95ecb9d1a61bc5b0c40e4
  else
    echo "the ARC suite is neither in ${MAILPORT_SUITES:-../shared/suites} nor in $cache, and its repository cannot be reached:"
    echo "its 171 cases cannot be run. Copy its tests/arc-draft-validation-tests.yml to $cache/arc/"
    [ -z "${CI:-}" ] # in CI nothing may pass by being left out
  fi
fi
