"""A process of its own for an object, with its own thread pools and environment variables.

    python -m speed.process MODULE CLASS ARGUMENT...

makes MODULE.CLASS(*ARGUMENTS) and calls its methods: a JSON line in, {"method": ..., "arguments": {...}},
a JSON line out, what the method returned.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXPERIMENTS = str(Path(__file__).parents[1])  # the folder of the imports


class Process:
    """Starts the process of an object of class `kind`; `close` ends it. PYTHONPATH is added to its environment."""

    def __init__(self, module: str, kind: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self._name = " ".join((kind, *arguments))
        path = os.pathsep.join(filter(None, [EXPERIMENTS, environment.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "speed.process", module, kind, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONPATH": path},
        )

    def call(self, method: str, **arguments: Any) -> Any:
        """What the method returns there.

        Raises
        ------
        RuntimeError
            If the process ended instead; its own message is on stderr.
        """
        try:
            print(json.dumps({"method": method, "arguments": arguments}), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"the process of {self._name} ended in {method}")
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate()  # closes its input, which ends its loop, and waits


def main(module: str, kind: str, *arguments: str) -> None:
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # a library's own output goes to stderr, not between the answers
        served = getattr(importlib.import_module(module), kind)(*arguments)
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(getattr(served, request["method"])(**request["arguments"])), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
