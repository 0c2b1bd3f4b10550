"""The simulated provider as a process: `python -m backends.simulator --help`.

Prints one line with its URL when it is ready, and stops on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import IO, Any

from backends.simulator.journal import Journal
from backends.simulator.script import seconds
from backends.simulator.server import Simulator


def main(argv: list[str] | None = None) -> int:
    """Run until a signal. Exit code 0, or 1 if the port is taken."""
    options = _options().parse_args(argv)
    with ExitStack() as stack:
        file: IO[bytes] | None = None
        if options.journal:
            handle = os.open(options.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            file = stack.enter_context(os.fdopen(handle, "ab"))
        journal = Journal(limit=options.entries, body_cap=options.body_cap, file=file)
        simulator = Simulator(
            demo=options.demo,
            keys=options.keys.split(",") if options.keys else None,
            models=options.models.split(",") if options.models else None,
            gap=options.gap,
            journal=journal,
        )
        return _runner(options.uvloop)(_serve(simulator, options.host, options.port))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m backends.simulator", description="A simulated LLM provider."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--journal", help="append each request to this file as a JSON line (mode 0600)")
    parser.add_argument("--entries", type=int, default=20_000, help="requests kept in memory")
    parser.add_argument("--body-cap", type=int, default=1 << 20, help="bytes kept of each request body")
    parser.add_argument("--demo", action="store_true", help="only the demo models, words spaced in time")
    parser.add_argument("--keys", help="accepted API keys, comma-separated; default: any")
    parser.add_argument("--models", help="listed models, comma-separated")
    parser.add_argument("--gap", type=seconds, help="time between content events, e.g. 20ms")
    parser.add_argument("--uvloop", action="store_true", help="use the faster event loop")
    return parser


def _runner(fast: bool) -> Callable[[Coroutine[Any, Any, int]], int]:
    if not fast:
        return asyncio.run
    import uvloop

    runner: Callable[[Coroutine[Any, Any, int]], int] = uvloop.run
    return runner


async def _serve(simulator: Simulator, host: str, port: int) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        await simulator.start(host, port)
    except OSError as exc:
        sys.stderr.write(f"Cannot listen on {host}:{port}: {exc.strerror}. Choose another --port.\n")
        return 1
    sys.stdout.write(f"{simulator.url}\n")
    sys.stdout.flush()
    await stopping.wait()
    await simulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
