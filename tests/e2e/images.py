"""Images without a registry: what buildah makes of this clone, of Debian's packages and of one static program."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.e2e.machine import contained
from tests.kube.cluster import ROOT

# The oldest Debian, and with it the oldest Python, that we support
SUITE = "bookworm"
BASE = f"localhost/mailport-base:{SUITE}"
PAUSE = "localhost/mailport-pause:1"
PRODUCT = "localhost/mailport:e2e"

MANY = 400  # images, steps of a build included, a gigabyte or so: then buildah begins anew
_OF_THIS_MACHINE = ("/etc/pip.conf", "/etc/ssl/certs")  # where pip finds packages, and whom it trusts


class Images:
    """What is built here is kept in the user's cache folder, so that a second run takes up only what changed."""

    def __init__(self, cache: Path, folder: Path, say: Callable[[str], None]) -> None:
        self._cache = cache
        self._log = folder / "images.log"
        self._say = say
        settings = folder / "storage.conf"
        settings.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{cache / "images"}"\nrunroot = "{folder / "buildah"}"\n'
        )
        self._environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(settings), "BUILDAH_ISOLATION": "chroot"}
        if len(self._run("buildah", "images", "--all", "--quiet").split()) > MANY:
            self._run("buildah", "rmi", "--all", "--force")

    def base(self) -> str:
        """Return the name of a Debian with Python, which the product's image is built on here."""
        if not self._is_there(BASE):
            begin = time.monotonic()
            self._say(f"making a base image of Debian {SUITE}, a minute once")
            tree = self._cache / "base"
            shutil.rmtree(tree, ignore_errors=True)  # of a run that was killed
            try:
                packages = "--include=python3,python3-venv,ca-certificates"
                self._run("debootstrap", "--variant=minbase", packages, SUITE, tree, *_mirror())
                for left in ("var/cache/apt", "var/lib/apt/lists"):
                    shutil.rmtree(tree / left)
                self._of_scratch(BASE, tree, "/")
            finally:
                shutil.rmtree(tree, ignore_errors=True)
            self._say(f"made it in {time.monotonic() - begin:.0f} s")
        return BASE

    def pause(self) -> str:
        """Return the name of the image whose process holds a pod's namespaces."""
        if not self._is_there(PAUSE):
            program = shutil.which("catatonit")
            assert program
            self._of_scratch(PAUSE, Path(program), "/catatonit", "--entrypoint", '["/catatonit", "-P"]')
        return PAUSE

    def product(self) -> str:
        """Return the name of the image of this clone, as `make image` builds it, and say its size."""
        base = self.base()
        begin = time.monotonic()
        self._say("building the image, half a minute where the dependencies changed")
        mounts = [f"--volume={path}:{path}:ro" for path in _OF_THIS_MACHINE if Path(path).exists()]
        options = " ".join(["--network=host", *mounts])
        made = {"ENGINE": "buildah", "IMAGE": PRODUCT, "BASE_IMAGE": base, "OPTIONS": options}
        built = self._run(ROOT / "tools/image.sh", **made).splitlines()[-1]
        self._say(f"{built}, {self.size(base)} of it the base, in {time.monotonic() - begin:.0f} s")
        return PRODUCT

    def changed(self, image: str, sources: Mapping[str, str]) -> None:
        """Make an image that is the product's but for some modules' sources, by their path: a next version."""
        context = self._log.parent / "changed"
        shutil.rmtree(context, ignore_errors=True)
        for path, source in sources.items():
            target = context / "sources" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source)
        (context / "Containerfile").write_text(
            f"FROM {PRODUCT}\nUSER 0\nCOPY sources /sources\n"
            "RUN cd /opt/mailport/lib/python3.*/site-packages && cp -r /sources/. . && rm -r /sources"
            " && python3 -m compileall -q -f --invalidation-mode unchecked-hash mailport\n"
            "USER 10001:10001\n"
        )
        self._run("buildah", "build", "--quiet", "--network=host", "--tag", image, context)

    def size(self, image: str) -> str:
        return self._run("buildah", "images", "--format", "{{.Size}}", image).strip()

    def archive(self, image: str, path: Path) -> None:
        """Write an image into a file, which containerd imports under its name."""
        self._run("buildah", "push", image, f"docker-archive:{path}:{image}")

    def _is_there(self, image: str) -> bool:
        return bool(self._run("buildah", "images", "--quiet", "--filter", f"reference={image}").strip())

    def _of_scratch(self, image: str, source: Path, target: str, *configuration: str) -> None:
        container = self._run("buildah", "from", "scratch").strip()
        self._run("buildah", "add", "--quiet", container, source, target)
        if configuration:
            self._run("buildah", "config", *configuration, container)
        self._run("buildah", "commit", "--quiet", "--rm", container, image)

    def _run(self, *command: str | Path, **environment: str) -> str:
        with self._log.open("a") as log:
            done = subprocess.run(
                contained(*command),
                env=self._environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
                process_group=0,  # Ctrl-C is for pytest, and they die with it
            )
            log.write(done.stdout)
        said = self._log.read_text(errors="replace")
        assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{said[-3000:]}"
        return done.stdout


def _mirror() -> list[str]:
    """Return where this machine has its own Debian packages from, if they are of that suite."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {SUITE}"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.split()[:1]
