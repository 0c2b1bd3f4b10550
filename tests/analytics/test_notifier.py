"""A running Patchbay tells an address of the operator's."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.analytics.hooks import Hook
from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

ASK = {"model": "watched:m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def furnish(desk: Desk, url: str) -> None:
    credential = {"key": "sk-watched-0123456789"}
    desk.do(
        {"do": "backend", "name": "watched", "protocol": "anthropic", "base": url},
        {"do": "account", "alias": "mine", "backend": "watched", "credential": credential},
    )
    desk.settle()


def test_a_window_that_runs_low_reaches_the_webhook_once_and_its_address_stays_secret(refusing: Hook) -> None:
    with (
        SimulatorThread() as upstream,
        Patchbay({"PATCHBAY_NOTIFY_URL": refusing.url, "PATCHBAY_NOTIFY_HEADROOM": "20"}) as patchbay,
        Desk(patchbay) as desk,
    ):
        furnish(desk, upstream.url)
        for _ in range(2):
            upstream.script(["rl=unified,u5h=0.85"])
            assert patchbay.post("/v1/messages", ASK).status == 200
        path, told = refusing.calls.get(timeout=20)
        assert path == "/hooks/in?token=hook-canary"
        assert (told["kind"], told["account"], told["window"]) == ("window_low", "mine", "5h")
        assert "15% of its 5h window left" in str(told["text"])
        assert refusing.calls.empty()
        assert "hook-canary" not in patchbay.log


def desktop_program(folder: Path) -> Path:
    """A `notify-send` that writes what it shows, a line each, into the file that comes back."""
    program, shown = folder / "notify-send", folder / "shown"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$4" >> "{shown}"\n')
    program.chmod(0o755)
    shown.touch()
    return shown


def test_a_webhook_that_hangs_keeps_the_desktop_told(stuck: Hook, tmp_path: Path) -> None:
    shown = desktop_program(tmp_path)
    settings = {
        "PATCHBAY_NOTIFY_URL": stuck.url,
        "PATCHBAY_NOTIFY_HEADROOM": "20",
        "PATCHBAY_NOTIFY_DESKTOP": "on",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    with SimulatorThread() as upstream, Patchbay(settings) as patchbay, Desk(patchbay) as desk:
        furnish(desk, upstream.url)
        for number, (window, name) in enumerate((("u5h", "5h"), ("u7d", "7d")), 1):
            upstream.script([f"rl=unified,{window}=0.85"])
            assert patchbay.post("/v1/messages", ASK).status == 200
            lines = lines_of(shown, number)
            assert f"its {name} window left" in lines[-1]
        assert len(lines) == 2
        assert stuck.most_at_once == 1


def lines_of(shown: Path, number: int) -> list[str]:
    """What was shown, once there is so much of it."""
    deadline = time.monotonic() + 20
    while len(lines := shown.read_text().splitlines()) < number and time.monotonic() < deadline:
        time.sleep(0.05)
    return lines
