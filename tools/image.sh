#!/bin/sh
# Builds the image with docker, podman or buildah, whichever is there, and prints its size. From the environment:
# IMAGE, its name; BASE_IMAGE, a Python to stand on; PLATFORM, the nodes' where it is not this machine's, as linux/amd64
# (which takes an emulator here, as Docker Desktop and Podman's machine have one, and else binfmt with QEMU); ENGINE, one
# of the three; OPTIONS, what else their build is told.
set -eu
cd "$(dirname "$0")/.."

works() {
  case $1 in
    buildah) command -v buildah ;;
    *) "$1" version ;; # a docker without its daemon builds nothing
  esac >/dev/null 2>&1
}

if [ -z "${ENGINE:-}" ]; then
  for ENGINE in docker podman buildah ''; do
    [ -n "$ENGINE" ] || { echo "an image takes docker, podman or buildah: none of them is there and works" >&2; exit 1; }
    if works "$ENGINE"; then break; fi
  done
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || true)
image=${IMAGE:-mailport:$version}
build=build
[ "$ENGINE" != buildah ] || build="bud --layers"

# shellcheck disable=SC2086 # several words are meant
"$ENGINE" $build ${PLATFORM:+--platform "$PLATFORM"} ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} \
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision" ${OPTIONS:-} --tag "$image" --file Dockerfile .

echo "built $image, $("$ENGINE" images --format '{{.Size}}' "$image")"
