"""A process of its own for an object: each library gets its own thread pools and its own environment variables.

    python worker.py MODULE CLASS ARGUMENT...

makes MODULE.CLASS(*ARGUMENTS) and calls its methods: a JSON line in, {"method": ..., "arguments": {...}},
a JSON line out, what the method returned.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


class Worker:
    """Starts the process; `close` ends it.

    Parameters
    ----------
    module, kind : str
        Where the object's class is to be found.
    *arguments : str
    environment : mapping of str to str
        All variables of the process.
    """

    def __init__(self, module: str, kind: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self._name = " ".join((kind, *arguments))
        self._process = subprocess.Popen(
            [sys.executable, __file__, module, kind, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, method: str, **arguments: Any) -> Any:
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
        os.dup2(2, 1)  # what a library prints does not come between the answers
        served = getattr(importlib.import_module(module), kind)(*arguments)
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(getattr(served, request["method"])(**request["arguments"])), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
