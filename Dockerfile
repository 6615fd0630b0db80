# One image holds the operator and the listener. `make image` builds it with docker, podman or buildah.
# Both stages stand on the same base, which has to call its Python python3: an environment is tied to its interpreter.
ARG BASE_IMAGE=python:3.13-slim


FROM ${BASE_IMAGE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# The modules that every message passes are compiled (hatch_build.py), by a compiler that stays behind. A base without
# apt-get may have one; where there is none, all is the same with more CPU a message.
RUN if command -v apt-get >/dev/null; then \
      headers=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))') \
 &&   apt-get update --quiet=2 \
 &&   DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
        gcc libc6-dev $([ -e "$headers/Python.h" ] || echo python3-dev) >/dev/null; \
    fi

# Nothing comes in that the locks do not name by its hash. pip and what makes the wheel stay behind, in tools.
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python3 -m venv tools \
 && tools/bin/pip install --quiet --require-hashes --requirement requirements/build.txt \
 && python3 -m venv --without-pip /opt/mailport \
 && tools/bin/pip --python /opt/mailport/bin/python3 install --quiet --no-compile --require-hashes \
      --requirement requirements/runtime.txt

# A class for each API and each kind, generated twice, is half of all that came in. The operator asks by path and sends
# what it rendered, so they are never loaded; but for three that kopf looks at. (tests/e2e/test_dockerfile.py)
RUN cd /opt/mailport/lib/python3.*/site-packages/kubernetes \
 && find client/api aio/client/api -name '*_api.py' -delete \
 && find client/models aio/client/models -name '*.py' ! -name __init__.py \
      ! -name v1_object_meta.py ! -name v1_owner_reference.py ! -name v1_managed_fields_entry.py -delete

# What debuggers read of the libraries, a quarter of the image; strip comes with the compiler.
RUN ! command -v strip >/dev/null || find /opt/mailport -name '*.so' -exec strip --strip-unneeded {} +

# Compiled once for all starts, as no pod can write there; unchecked, as what copies layers may change a file's time.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/mailport/lib

# Apart from the dependencies, in a layer of its own: a release changes little more than this
COPY LICENSE README.md pyproject.toml hatch_build.py ./
COPY src src
RUN tools/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir . . \
 && tools/bin/pip --python /opt/mailport/bin/python3 install --quiet --no-compile --no-index --no-deps \
      --prefix /build/own ./*.whl \
 && { ! command -v strip >/dev/null || find own -name '*.so' -exec strip --strip-unneeded {} +; } \
 && python3 -m compileall -q --invalidation-mode unchecked-hash -s /build/own -p /opt/mailport own/lib


FROM ${BASE_IMAGE}
COPY --from=build /opt/mailport /opt/mailport
COPY --from=build /build/own /opt/mailport
ENV PATH=/opt/mailport/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
ENTRYPOINT ["mailport"]
CMD ["--help"]

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Mailport" \
      org.opencontainers.image.description="The inbound SMTP gateway that Kubernetes lacks: operator and listener" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
