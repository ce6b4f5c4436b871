"""Python in a process of its own, where a warning is an error."""

import os
import subprocess
import sys


def run_python(script, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )
