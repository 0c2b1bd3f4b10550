"""The tests' side of `pool_worker`: real processes that share one pool state."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from accounts.redis_link import Times
from tests.patchbay import PROJECT

SECONDS = 30.0


class PoolWorker:
    """One process. `begin()` an order, or `do()` it and wait for the answer."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "router_site.settings",
            "PYTHONWARNINGS": "error",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.accounts.pool_worker"],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._ids = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, do: str, **options: Any) -> Future[Any]:
        """Send an order."""
        number, answer = next(self._ids), Future[Any]()
        self._waiting[number] = answer
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": do, **options}).encode() + b"\n")
        self._process.stdin.flush()
        return answer

    def do(self, do: str, **options: Any) -> Any:
        """Have an order carried out; its answer."""
        return self.begin(do, **options).result(SECONDS)

    def open(self, url: str, times: Times) -> None:
        """Join the others."""
        self.do("open", url=url, times=asdict(times))

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._end()

    def close(self) -> None:
        """No more orders."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._end()

    def _end(self) -> None:
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            answer = self._waiting.pop(message["id"])
            if "error" in message:
                answer.set_exception(AssertionError(message["error"]))
            else:
                answer.set_result(message["result"])
