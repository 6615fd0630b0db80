"""What the Dockerfile leaves out of the Kubernetes client is not what the operator uses."""

import re

from kubernetes.aio import client

from tests.kube.cluster import ROOT

LEFT_OUT = re.compile(r"\.client\.(api|models)\b")


def is_left_out(name: str) -> bool:
    return bool(LEFT_OUT.search(getattr(client, name).__module__))


def test_no_generated_class_is_used():
    """Each is loaded when it is named, so an image without it would fail at that moment only."""
    doors = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    words = {
        word for text in doors if re.search(r"(from|import) kubernetes", text) for word in re.findall(r"\w+", text)
    }
    used = words & set(client.__all__)

    assert "ApiClient" in used
    assert is_left_out("V1Pod")
    assert is_left_out("CoreV1Api")
    assert [name for name in used if is_left_out(name)] == []
