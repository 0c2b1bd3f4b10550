"""The doctor: each check by itself, and all of them on a healthy and on a sick home."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.key_services import key_add, key_revoke
from accounts.listing import list_accounts
from accounts.models import Account, ClientKey
from accounts.probes import TestResult
from backends.models import Backend, Route
from proxyapp.doctor import configuration, databases, home, machine, online
from proxyapp.doctor.findings import Finding, Level
from proxyapp.doctor.online import PortAnswer
from tests.patchbay import PROJECT, Patchbay, free_port
from tests.redis_server import RedisServer

URL = "http://127.0.0.1:3456"
OK, WARN, FAIL = Level.OK, Level.WARN, Level.FAIL


def levels(findings: list[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def says(findings: list[Finding], *words: str) -> bool:
    text = " ".join(finding.line() for finding in findings)
    return all(word in text for word in words)


# --- the machine ---------------------------------------------------------------------------------------------------


def test_python_and_disk_have_floors() -> None:
    assert machine.python_finding((3, 11), "3.11.0").level is OK
    assert machine.python_finding((3, 10), "3.10.9").level is FAIL
    free = [machine.disk_finding(Path("/x"), size).level for size in (2**32, 2**29, 2**20)]
    assert free == [OK, WARN, FAIL]


def test_packages_are_compared_with_their_pins() -> None:
    found = machine.package_findings(
        {"a": "1.2", "b": "1.10", "c": "1", "d": "1"}, {"a": "1.2", "b": "1.9", "c": None, "d": "2"}
    )
    assert levels(found) == [FAIL, FAIL, WARN]
    assert says(found, "b is 1.9", "c is not installed", "pip install -r requirements.txt")
    pins = machine.read_pins(PROJECT / "requirements.txt")
    assert pins["Django"].startswith("5.2")
    assert FAIL not in levels(machine.package_findings(pins, machine.installed_versions(pins)))


def test_a_redis_that_does_not_answer_is_found_and_its_password_not_shown() -> None:
    assert machine.redis_finding("").level is OK
    finding = machine.redis_finding(f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    assert finding.level is FAIL
    assert "hunter2" not in finding.line()


def test_a_redis_that_answers() -> None:
    server = RedisServer()
    server.start()
    try:
        assert machine.redis_finding(server.url).level is OK
    finally:
        server.kill()


# --- home and settings ---------------------------------------------------------------------------------------------


def test_a_name_that_is_no_setting_is_found_with_the_one_that_may_be_meant() -> None:
    names = ["PATCHBAY_PROT", "PATCHBAY_PORT", "PATH", "PATCHBAY_OAUTH_X_ISSUER", "PATCHBAY_CLIENT_KEY"]
    found = home.setting_findings(names, home.known_settings())
    assert levels(found) == [WARN]
    assert says(found, "PATCHBAY_PROT is no setting. Is PATCHBAY_PORT meant?")


def test_what_others_may_read_in_the_home_is_found(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir(mode=0o700)
    (tmp_path / "inside" / ".env").touch(0o600)
    assert levels(home.home_findings(tmp_path)) == [OK]
    (tmp_path / "inside" / ".env").chmod(0o644)
    found = home.home_findings(tmp_path)
    assert levels(found) == [WARN]
    assert says(found, f"chmod go-rwx {tmp_path}/inside/.env")


def test_every_documented_setting_is_known() -> None:
    page = (PROJECT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"`(PATCHBAY_[A-Z_]+)`", page))
    assert len(documented) > 10
    assert levels(home.setting_findings(documented, home.known_settings())) == [OK]


# --- databases -----------------------------------------------------------------------------------------------------


def database(path: Path) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{number:0200}",) for number in range(500)])
    connection.close()
    return path


def test_a_damaged_database_is_found(tmp_path: Path) -> None:
    whole = database(tmp_path / "whole")
    assert databases.sqlite_fault(whole) is None
    damaged = database(tmp_path / "damaged")
    with damaged.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096)
    assert databases.sqlite_fault(damaged)
    (tmp_path / "other").write_text("no database at all" * 100)
    assert "not a database" in (databases.sqlite_fault(tmp_path / "other") or "")


def test_a_check_that_takes_too_long_is_no_fault(tmp_path: Path) -> None:
    damaged = database(tmp_path / "damaged")
    assert databases.sqlite_fault(damaged, seconds=0.0) is None


@pytest.mark.django_db(databases=["default", "history"])
def test_databases_as_this_version_needs_them() -> None:
    found = databases.database_findings()
    assert levels([one for one in found if one.check in ("default", "history")]) == [OK, OK]
    assert databases.are_usable(found)


# --- what is configured --------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_keys_that_end_and_a_door_that_nobody_can_open() -> None:
    now = timezone.now()
    assert levels(configuration.key_findings([], now)) == [OK]
    key_add("soon", expires="3d")
    key_add("later", expires="90d")
    found = configuration.key_findings(list(ClientKey.objects.all()), now)
    assert levels(found) == [WARN]
    assert says(found, "soon ends")
    key_revoke("later")
    found = configuration.key_findings(list(ClientKey.objects.all()), now + timedelta(days=4))
    assert levels(found) == [FAIL]
    assert says(found, "nobody is let in", "keys add")


@pytest.mark.django_db
def test_routes_that_lead_nowhere() -> None:
    backend = Backend.objects.create(name="off", base_url="http://127.0.0.1:9/v1", is_enabled=False)
    Route.objects.create(pattern="fast").targets.create(backend=backend)
    found = configuration.route_findings(Route.objects.all())
    assert set(levels(found)) == {WARN}
    assert says(found, "off is disabled", "routes explain fast")
    Route.objects.all().delete()
    assert levels(configuration.route_findings(Route.objects.all())) == [OK]


@pytest.mark.django_db
def test_accounts_that_need_somebody(tmp_path: Path) -> None:
    backend = Backend.objects.create(name="local", base_url="http://127.0.0.1:9/v1")
    token = tmp_path / "token.json"
    token.write_text(json.dumps({"access_token": "t", "expires_at": 1_000_000_000}))
    Account.objects.create(alias="fine", backend=backend, kind=Account.NONE)
    plan = Account.objects.create(
        alias="plan", backend=backend, kind=Account.TOKEN_FILE, token_file=str(token)
    )
    found = configuration.account_findings(list_accounts(time.time()), time.time())
    assert levels(found) == [FAIL]
    assert says(found, "plan (local)", "login plan")
    plan.is_paused = True
    plan.save()
    assert levels(configuration.account_findings(list_accounts(time.time()), time.time())) == [OK]


@pytest.mark.django_db
def test_nothing_configured_is_no_fault() -> None:
    assert levels(configuration.backend_findings()) == [WARN]
    assert configuration.admin_finding().level is OK


# --- over the network ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (PortAnswer(is_free=True), OK, "is free"),
        (
            PortAnswer(is_free=True, refusal="Permission denied"),
            FAIL,
            "cannot listen there: Permission denied",
        ),
        (PortAnswer(unasked="It is public."), WARN, "was not asked. It is public."),
        (PortAnswer(), FAIL, "Another program"),
        (PortAnswer(is_ours=True, version="2.0.0", status="ok"), OK, "version 2.0.0"),
        (PortAnswer(is_ours=True, version="1.0.0", status="ok"), FAIL, "Restart it"),
        (PortAnswer(is_ours=True, version="2.0.0", status="degraded", reasons=("a",)), WARN, "degraded: a"),
    ],
)
def test_who_is_at_the_port(answer: PortAnswer, level: Level, words: str) -> None:
    finding = online.port_finding(answer, URL, "2.0.0")
    assert finding.level is level
    assert words in finding.line()


@pytest.mark.parametrize(
    ("skews", "level"),
    [([], OK), ([1.0, -2.0], OK), ([45.0], WARN), ([-4000.0, -4000.0, 0.0], FAIL), ([0.0, 0.0, 9999.0], OK)],
)
def test_one_wrong_clock_elsewhere_is_not_ours(skews: list[float], level: Level) -> None:
    assert online.clock_finding(skews).level is level


def test_what_the_accounts_of_a_backend_say_together() -> None:
    good = TestResult("b", "one", True, 200, 12, 3, "It lists 3 models.")
    bad = TestResult("b", "two", False, 401, 9, 0, "The key was refused.")
    assert online.backend_finding("b", [good], 1).level is OK
    assert online.backend_finding("b", [], 1).level is OK
    assert online.backend_finding("b", [], 0).level is FAIL
    finding = online.backend_finding("b", [good, bad], 2)
    assert finding.level is FAIL
    assert "two: The key was refused." in finding.line()


# --- all of it, as a process ---------------------------------------------------------------------------------------


class _Slow(BaseHTTPRequestHandler):
    """A backend whose clock is an hour behind."""

    def do_GET(self) -> None:
        body = b'{"data": [{"id": "m"}]}'
        self.send_response_only(200)
        self.send_header("date", formatdate(time.time() - 3600, usegmt=True))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def behind() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def doctor(patchbay: Patchbay) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    done = patchbay.manage("doctor", "--json", check=False)
    answer = json.loads(done.stdout)
    assert answer["ok"] == (done.returncode == 0)
    by_check: dict[str, list[dict[str, Any]]] = {}
    for finding in answer["findings"]:
        by_check.setdefault(finding["check"], []).append(finding)
    return done.returncode, by_check


def test_a_healthy_home_beside_its_running_server() -> None:
    with Patchbay() as patchbay:
        code, found = doctor(patchbay)
    assert code == 0, found
    assert found["server"][0]["text"].startswith(f"runs at {patchbay.url}")
    assert {"python", "packages", "disk", "redis", "home", "settings", "default", "history"} <= set(found)
    assert {"sqlite", "secrets", "callers", "accounts", "routes", "keys", "admin", "clock"} <= set(found)


def test_a_sick_home(behind: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        patchbay = Patchbay({"PATCHBAY_DRIAN_SECONDS": "1"}, home=tmp_path / "home", port=port)
        patchbay.home.mkdir()
        adding = ("backend", "add", "--base-url")
        patchbay.manage(*adding, behind, "behind")
        patchbay.manage(*adding, f"http://127.0.0.1:{free_port()}/v1", "gone")
        (patchbay.home / "secrets" / "spare").touch(0o644)
        (patchbay.home / "secrets" / "spare").chmod(0o644)
        threading.Thread(target=_hang_up, args=(taken,), daemon=True).start()
        done = patchbay.manage("doctor", check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert "checks failed" in done.stderr
    failed = [line.split()[1] for line in lines if line.startswith("FAIL")]
    assert list(dict.fromkeys(failed)) == ["home", "server", "backends", "clock"], done.stdout
    for words in (
        "Run: chmod 600",
        "Is PATCHBAY_DRAIN_SECONDS meant?",
        "Another program listens",
        "backend test gone",
    ):
        assert any(words in line for line in lines), words
    assert any(re.search(r"clock is 36\d\d s ahead", line) for line in lines)


def _hang_up(taken: socket.socket) -> None:
    """Something that is no HTTP server."""
    while True:
        try:
            connection, _ = taken.accept()
        except OSError:
            return
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.close()


@pytest.mark.sqlite("a file that does not exist yet")
def test_an_empty_home_is_fine_and_stays_empty(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home", is_blank=True)
    patchbay.home.mkdir()
    code, found = doctor(patchbay)
    assert code == 0, found
    assert "does not exist yet" in found["default"][0]["text"]
    assert not (patchbay.home / "config.sqlite3").exists()
