"""Which Python this is, and how it was built."""

from __future__ import annotations

import platform
import sys
import sysconfig


def python() -> str:
    """Say which Python this is, and how it was built: distributions' and the image's are optimized, a tenth quicker."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    optimized = sys.base_prefix == "/usr" or "--enable-optimizations" in options  # Debian's own rules do it
    if not optimized:
        sys.stderr.write(
            "This Python was built without optimization. In a fresh clone: make bench PYTHON=/usr/bin/python3\n"
        )
    return f"Python {platform.python_version()}{'' if optimized else ', built without optimization'}"
