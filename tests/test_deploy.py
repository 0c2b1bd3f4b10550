"""What is in deploy/ fits Patchbay: settings, paths, ports and times agree. nginx and systemd judge their own files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings as configuration

from router_site.handler import resolve
from router_site.server import Limits
from tests.patchbay import Patchbay, free_port

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
PORT = 3456
DRAIN = 60
BODY = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def read(name: str) -> str:
    return (DEPLOY / name).read_text()


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("compose.yaml"))
    return found


def kubernetes() -> dict[str, dict[str, Any]]:
    return {found["kind"]: found for found in yaml.safe_load_all(read("kubernetes/patchbay.yaml"))}


def pod() -> dict[str, Any]:
    found: dict[str, Any] = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    return found


def test_every_setting_that_is_named_exists() -> None:
    source = (ROOT / "router_site" / "settings.py").read_text()
    known = set(re.findall(r'"((?:PATCHBAY_[A-Z_]+|DATABASE_URL|HISTORY_DATABASE_URL|REDIS_URL))"', source))
    known |= {f"{name}_FILE" for name in ("PATCHBAY_SECRET_KEY", "PATCHBAY_API_KEY")}
    for path in [path for path in DEPLOY.rglob("*") if path.is_file()]:
        named = set(
            re.findall(r"\b(PATCHBAY_[A-Z_]+|(?:HISTORY_)?DATABASE_URL|REDIS_URL)\b", path.read_text())
        )
        assert named <= known, f"{path.name}: {named - known}"


def test_ports_agree() -> None:
    dockerfile = read("Dockerfile")
    assert f"EXPOSE {PORT}\n" in dockerfile
    assert f"PATCHBAY_PORT={PORT}\n" in dockerfile
    [container] = pod()["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    assert {"name": "PATCHBAY_PORT", "value": str(PORT)} in container["env"]
    assert kubernetes()["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    servers = re.findall(r"server (\S+):(\d+)", read("nginx.conf"))
    patchbays = {name for name in compose()["services"] if name.startswith("patchbay")}
    assert {(name, str(PORT)) for name in patchbays} == set(servers)
    [listens] = re.findall(r"listen (\d+);", read("nginx.conf"))
    assert compose()["services"]["nginx"]["ports"] == [f"127.0.0.1:{listens}:{listens}"]


def test_whoever_stops_it_waits_longer_than_the_drain() -> None:
    assert configuration.PATCHBAY_DRAIN_SECONDS == DRAIN
    [container] = pod()["containers"]
    assert {"name": "PATCHBAY_DRAIN_SECONDS", "value": str(DRAIN)} in container["env"]
    [pause] = re.findall(r"time\.sleep\((\d+)\)", str(container["lifecycle"]["preStop"]))
    assert pod()["terminationGracePeriodSeconds"] >= DRAIN + int(pause) + 10
    [unit] = re.findall(r"TimeoutStopSec=(\d+)", read("patchbay.service"))
    assert int(unit) >= DRAIN + 10
    for name in ("patchbay-1", "patchbay-2"):
        service = compose()["services"][name]
        assert service["environment"]["PATCHBAY_DRAIN_SECONDS"] == str(DRAIN)
        assert int(service["stop_grace_period"].removesuffix("s")) >= DRAIN + 10


def test_probes_ask_for_what_there_is() -> None:
    [container] = pod()["containers"]
    paths = {container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    paths |= set(re.findall(r"\+ '(/\w+)'", read("Dockerfile")))
    assert paths == {"/livez", "/readyz"}
    assert all(resolve(path) is not None for path in paths)


def test_nobody_runs_as_root_or_writes_to_the_image() -> None:
    assert re.search(r"^USER 10001:10001$", read("Dockerfile"), re.M)
    assert (pod()["securityContext"]["runAsNonRoot"], pod()["securityContext"]["runAsUser"]) == (True, 10001)
    [container] = pod()["containers"]
    allowed = container["securityContext"]
    assert (allowed["readOnlyRootFilesystem"], allowed["allowPrivilegeEscalation"]) == (True, False)
    mounts = {mount["mountPath"]: mount.get("readOnly") for mount in container["volumeMounts"]}
    assert mounts == {"/var/lib/patchbay": None, "/tmp": None, "/run/secrets/patchbay": True}
    # An emptyDir is root's and everybody may write there: a home must be below it, and Patchbay makes it.
    [home] = [env["value"] for env in container["env"] if env["name"] == "PATCHBAY_HOME"]
    assert Path(home).parent == Path("/var/lib/patchbay")
    assert all(compose()["services"][name]["read_only"] for name in ("patchbay-1", "patchbay-2", "nginx"))


CONTAINED = """
mount --make-rprivate /
mount --bind "$THE_HOME" /srv
mount --bind "$PWD" /media
mount -o remount,bind,ro /
mount -t tmpfs tmpfs /tmp
case "$PWD" in /tmp/*) mkdir -p "$PWD" && mount --bind /media "$PWD" && mount -o remount,bind,ro "$PWD" ;; esac
cd "$PWD"
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv"))), reason="mounting needs root"
)
def test_it_runs_where_only_its_mounts_can_be_written(tmp_path: Path) -> None:
    """As in the manifest and the compose file: a root that is read-only, a home, an empty /tmp, no capabilities."""
    patchbay = Patchbay(home=tmp_path / "home", is_blank=True)
    patchbay.furnish()
    own = {"PATCHBAY_HOME": "/srv", "THE_HOME": str(patchbay.home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "manage.py", "runproxy", "--demo"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", CONTAINED, "sh", *command],
            cwd=ROOT,
            env={**patchbay.environment, **own},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(patchbay)
        root = Path(f"/proc/{process.pid}/root")
        with pytest.raises(OSError, match="Read-only"):
            (root / "var" / "tmp" / "patchbay-was-here").touch()
        for body in (BODY, {**BODY, "stream": True}):
            assert patchbay.post("/v1/messages", body).status == 200
        assert {patchbay.get(path).status for path in ("/metrics", "/admin/login/", "/health")} == {200}
        itself = {ROOT.parts[2]} if ROOT.is_relative_to("/tmp") else set()
        assert {path.name for path in (root / "tmp").iterdir()} == itself
    finally:
        process.terminate()
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    assert len(patchbay.history(2)) == 2


def test_the_secret_template_holds_none_and_names_what_is_used() -> None:
    template = yaml.safe_load(read("kubernetes/secret.yaml"))
    assert set(template["stringData"].values()) == {""}
    [container] = pod()["containers"]
    used = {env["valueFrom"]["secretKeyRef"]["key"] for env in container["env"] if "valueFrom" in env}
    [files] = [volume["secret"]["items"] for volume in pod()["volumes"] if "secret" in volume]
    assert used | {file["key"] for file in files} == set(template["stringData"])


def test_one_of_two_may_be_away() -> None:
    assert kubernetes()["PodDisruptionBudget"]["spec"]["minAvailable"] == 1
    assert kubernetes()["Deployment"]["spec"]["replicas"] == 2


def test_the_image_has_every_app_and_nothing_that_does_not_exist() -> None:
    sources = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", read("Dockerfile"), re.M)
        for word in line.split()
    ]
    assert all((ROOT / name).exists() for name in sources if name != "requirements.lock"), sources
    ours = {app for app in configuration.INSTALLED_APPS if (ROOT / app).is_dir()}
    assert ours | {"templates", "manage.py", "requirements.lock", "CHANGELOG.md"} <= set(sources)
    allowed = set(re.findall(r"^!(.*)$", read("Dockerfile.dockerignore"), re.M))
    assert set(sources) == allowed


def names_and_pins(name: str) -> dict[str, str]:
    pinned = re.findall(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==([^\s\\]+)", (ROOT / name).read_text(), re.M)
    return {re.sub(r"[-_.]+", "-", found).lower(): version for found, version in pinned}


def test_the_lock_pins_what_is_required_with_hashes() -> None:
    """A lock that was not made anew after a change is a defect: run `make lock`."""
    run = names_and_pins("requirements.txt") | names_and_pins("requirements-postgres.txt")
    assert run.items() <= names_and_pins("requirements.lock").items()
    assert (run | names_and_pins("requirements-dev.txt")).items() <= names_and_pins(
        "requirements-dev.lock"
    ).items()
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        entries = re.findall(r"^[A-Za-z0-9].*(?:\n .*)*", text, re.M)
        assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries), lock
        assert not re.search(r"https?://|file:/|-find-links|-index-url", text)


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 30
    for path, name in named:
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.M), f"{path}::{name}"


# --- judged by the programs themselves ----------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "patchbay.service"
    unit.write_text(read("patchbay.service").replace("/opt/patchbay/.venv/bin/python", "/bin/sh"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    about_it = [line for line in done.stderr.splitlines() if "patchbay.service" in line]
    assert not about_it, about_it


def test_nginx_sends_nothing_twice_and_never_uses_a_connection_too_late() -> None:
    text = re.sub(r"#.*", "", read("nginx.conf"))
    assert re.findall(r"proxy_next_upstream (.*);", text) == ["error timeout"]
    assert "proxy_request_buffering off;" in text  # then not even a GET is, once it was sent
    [idle] = re.findall(r"keepalive 64;\s+keepalive_timeout (\d+)s;", text)
    assert int(idle) < Limits().keep_alive_seconds
    assert "client_max_body_size 32m;" in text
    assert configuration.PATCHBAY_MAX_BODY_MB == 32


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[Patchbay, Patchbay]]:
    """(nginx as a server to ask, the one Patchbay behind it); the other one that it knows is away."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    settings = {"PATCHBAY_API_KEY": "the-key-of-this-test", "PATCHBAY_ALLOWED_HOSTS": f"127.0.0.1:{port}"}
    with Patchbay(settings, flags=("--demo",)) as patchbay:
        text = read("nginx.conf").replace("patchbay-1:3456", f"127.0.0.1:{free_port()}")
        text = text.replace("patchbay-2:3456", f"127.0.0.1:{patchbay.port}").replace(
            "listen 8080", f"listen 127.0.0.1:{port}"
        )
        path = tmp_path / "nginx.conf"
        path.write_text("daemon off;\n" + text.replace("/tmp/nginx", str(tmp_path / "nginx")))
        process = subprocess.Popen(
            ["nginx", "-c", str(path), "-e", "stderr", "-p", str(tmp_path)], stderr=subprocess.DEVNULL
        )
        front = Patchbay(home=tmp_path, port=port)
        try:
            yield wait_for(front), patchbay
        finally:
            process.terminate()
            process.wait(10)


def wait_for(front: Patchbay) -> Patchbay:
    deadline = time.monotonic() + 20
    while True:
        try:
            front.get("/livez")
            return front
        except OSError:
            assert time.monotonic() < deadline, "nginx does not answer"
            time.sleep(0.05)


def test_nginx_passes_streams_on_and_keeps_the_pages_closed(nginx: tuple[Patchbay, Patchbay]) -> None:
    front, patchbay = nginx
    key = {"x-api-key": "the-key-of-this-test"}
    for _ in range(4):  # the other server is away: nobody notices
        assert front.post("/v1/messages", BODY, key).status == 200
    assert front.post("/v1/messages", BODY).status == 401  # behind a proxy nobody is this machine
    streamed = front.post("/v1/messages", {**BODY, "stream": True}, key)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert b"message_stop" in streamed.body
    assert {front.get(path, key).status for path in ("/admin/", "/dashboard/", "/ws/live")} == {404}
    assert patchbay.get("/admin/login/").status == 200
