"""A link that can be cut: `tests.slow_proxy` in a process of its own, so that no busy test makes it late.

Run as `python -m tests.promises.link PORT`; it prints its own port, and takes a line for each change.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.patchbay import PROJECT
from tests.slow_proxy import slow_proxy

FOR_EVER = 10_000.0


class Link:
    """The tests' side: what stands before a port."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.promises.link", str(port)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._say(""))

    def swallow(self) -> None:
        """From now on nothing arrives any more, in either direction, and no connection is closed: a black hole."""
        self._say("swallow")

    def mend(self) -> None:
        """New connections work again."""
        self._say("mend")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _say(self, word: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if word:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
        return self._process.stdout.readline()


@contextmanager
def link(port: int) -> Iterator[Link]:
    """A link to a port of this machine, on a free port."""
    made = Link(port)
    try:
        yield made
    finally:
        made.close()


async def main(port: int) -> None:
    """The process's side. Each answer is a line."""
    loop = asyncio.get_running_loop()
    async with slow_proxy(port) as proxy:
        _say(str(proxy.port))
        while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            proxy.delay = FOR_EVER if word == "swallow" else 0.0
            _say(word)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
