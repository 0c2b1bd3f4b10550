"""The interactive login over TCP: a browser on this machine, or a pasted answer."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.oauth import Grant, OAuthError, PendingLogin, new_login
from accounts.oauth_callback import NotThisLogin, code_of_paste, code_of_redirect
from accounts.oauth_listener import CallbackListener
from accounts.oauth_login import login_by_paste, login_with_browser
from accounts.providers import ProviderConfig
from backends.online import run_online
from tests.patchbay import free_port
from tests.servers import SimulatorThread


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorThread]:
    with SimulatorThread() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: SimulatorThread) -> SimulatorThread:
    running.reset()
    return running


def provider_at(upstream: SimulatorThread, **changed: str) -> ProviderConfig:
    return ProviderConfig("sim", **{"client_id": "tests", "issuer": upstream.url, **changed})


@dataclass(frozen=True)
class Page:
    status: int
    headers: dict[str, str]
    text: str


def visit(url: str, method: str = "GET", **headers: str) -> Page:
    """One request as a browser would send it, without following a redirect."""
    where = urlsplit(url)
    assert where.hostname is not None
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    try:
        connection.request(
            method, f"{where.path}?{where.query}" if where.query else where.path, None, headers
        )
        response = connection.getresponse()
        given = {name.lower(): value for name, value in response.getheaders()}
        return Page(response.status, given, response.read().decode())
    finally:
        connection.close()


@dataclass
class Browser:
    """Follows the redirect of the provider. `wander(redirect)` is visited first; what was seen is kept."""

    wander: Callable[[str], list[str]] = lambda redirect: []
    pages: list[Page] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def open(self, url: str) -> None:
        redirect = visit(url).headers["location"]
        self.pages = [visit(other) for other in self.wander(redirect)]
        self.pages.append(visit(redirect))
        self.done.set()


def log_in(provider: ProviderConfig, open_browser: Callable[[str], object], timeout_s: float = 20) -> Grant:
    async def run() -> Grant:
        return await login_with_browser(
            provider, open_browser=open_browser, show=lambda line: None, timeout_s=timeout_s
        )

    return run_online(run())


# --- a browser on this machine --------------------------------------------------------------------------------


def test_a_browser_brings_the_tokens(upstream: SimulatorThread) -> None:
    browser = Browser()
    grant = log_in(provider_at(upstream, scopes="inference"), browser.open)
    assert upstream.simulator.logins.is_good(grant.access.reveal())
    assert grant.scope == "inference"
    assert browser.done.wait(10)
    page = browser.pages[-1]
    assert (page.status, "Answer received" in page.text) == (200, True)
    assert "close" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["referrer-policy"] == "no-referrer"
    redirect = parse_qs(upstream.journal.of(path="/oauth/authorize")[0].query)["redirect_uri"][0]
    where = urlsplit(redirect)
    assert (where.hostname, where.path) == ("127.0.0.1", "/callback")
    with pytest.raises(ConnectionRefusedError):
        visit(redirect)


def cannot_open(url: str) -> bool:
    raise OSError("there is none")


@pytest.mark.parametrize("opener", [cannot_open, lambda url: False])
def test_the_address_is_shown_for_a_browser_elsewhere(
    upstream: SimulatorThread, opener: Callable[[str], object]
) -> None:
    """Whatever becomes of the browser that was to be opened."""
    lines: list[str] = []
    found = asyncio.Event()

    def show(line: str) -> None:
        lines.append(line)
        if "No browser could be opened" in line:
            found.set()

    async def run() -> Grant:
        provider = provider_at(upstream)
        login = asyncio.create_task(login_with_browser(provider, open_browser=opener, show=show))
        async with asyncio.timeout(10):
            await found.wait()
        url = next(line for line in lines if line.startswith("http"))
        await asyncio.to_thread(Browser().open, url)
        return await login

    assert run_online(run()).refresh is not None


def test_a_browser_that_blocks_does_not_hold_the_login(upstream: SimulatorThread) -> None:
    release = threading.Event()
    browser = Browser()

    def blocking(url: str) -> None:
        browser.open(url)
        release.wait(30)

    assert log_in(provider_at(upstream), blocking).refresh is not None
    release.set()


def test_strangers_do_not_end_the_login(upstream: SimulatorThread) -> None:
    def wander(redirect: str) -> list[str]:
        base = redirect.partition("?")[0]
        return [
            base.replace("/callback", "/favicon.ico"),
            base,
            f"{base}?code=stolen",
            f"{base}?{urlencode({'code': 'stolen', 'state': 'guessed'})}",
            f"{base}?{urlencode({'error': 'access_denied'})}",
            redirect + "&code=another",
        ]

    browser = Browser(wander)
    assert log_in(provider_at(upstream), browser.open).refresh is not None
    assert browser.done.wait(10)
    assert [page.status for page in browser.pages] == [404, 400, 400, 400, 400, 400, 200]


def test_a_refusal_ends_the_login_with_the_providers_words(upstream: SimulatorThread) -> None:
    upstream.script(["deny,msg=Not%20%3Cb%3Etoday"], path="/oauth/authorize")
    browser = Browser()
    with pytest.raises(OAuthError, match=r"access_denied: Not <b>today") as caught:
        log_in(provider_at(upstream), browser.open)
    assert caught.value.code == "access_denied"
    assert browser.done.wait(10)
    assert "did not succeed" in browser.pages[-1].text
    assert "&lt;b&gt;today" in browser.pages[-1].text
    assert upstream.token_requests == []


def test_nobody_comes(upstream: SimulatorThread) -> None:
    with pytest.raises(OAuthError, match="--manual") as caught:
        log_in(provider_at(upstream), lambda url: None, timeout_s=0.2)
    assert caught.value.code == "timeout"


def test_a_failed_exchange_is_told(upstream: SimulatorThread) -> None:
    upstream.script(["status=500"], path="/oauth/token")
    with pytest.raises(OAuthError, match="HTTP 500"):
        log_in(provider_at(upstream), Browser().open)


def test_an_issuer_out_of_reach_is_told_before_a_browser_opens() -> None:
    opened: list[str] = []
    provider = ProviderConfig("sim", "tests", issuer=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(OAuthError, match="issuer of sim"):
        log_in(provider, opened.append)
    assert opened == []


# --- the listener, byte by byte -------------------------------------------------------------------------------


@asynccontextmanager
async def listening() -> AsyncIterator[CallbackListener]:
    def read(query: str) -> str:
        if query != "good":
            raise NotThisLogin("no")
        return "the-code"

    async with CallbackListener(read) as listener:
        yield listener


async def send(listener: CallbackListener, raw: bytes) -> bytes:
    where = urlsplit(listener.redirect_uri)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(raw.replace(b"{host}", where.netloc.encode()))
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /callback?good HTTP/1.1\r\nhost: evil.example.com\r\n\r\n", b"400"),
        (b"GET /callback?good HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /callback?good HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n\r\n", b"400"),
        (b"GET http://{host}/callback?good HTTP/1.1\r\nhost: {host}\r\n\r\n", b"400"),
        (b"POST /callback?good HTTP/1.1\r\nhost: {host}\r\n\r\n", b"405"),
        (b"HEAD /callback?good HTTP/1.1\r\nhost: {host}\r\n\r\n", b"405"),
        (b"GET /callback/?good HTTP/1.1\r\nhost: {host}\r\n\r\n", b"404"),
        (b"GET /callback?bad HTTP/1.1\r\nhost: {host}\r\n\r\n", b"400"),
        (b"hello\r\n\r\n", b"400"),
    ],
)
async def test_what_is_not_the_redirect_is_refused(raw: bytes, status: bytes) -> None:
    async with listening() as listener:
        assert (await send(listener, raw)).split(b" ")[1] == status
        waiting = asyncio.ensure_future(listener.code())
        await asyncio.sleep(0)
        assert not waiting.done()
        answer = await send(listener, b"GET /callback?good HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await waiting == "the-code"
        again = await send(listener, b"GET /callback?good HTTP/1.1\r\nhost: {host}\r\n\r\n")
        assert again.startswith(b"HTTP/1.1 410 ")


async def test_noise_is_dropped_and_half_a_request_does_not_hold_the_end() -> None:
    async with listening() as listener:
        assert await send(listener, b"x" * 100_000) == b""
        where = urlsplit(listener.redirect_uri)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(b"GET /callback")
        await send(listener, b"GET /callback?good HTTP/1.1\r\nhost: {host}\r\n\r\n")
        assert await listener.code() == "the-code"
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            assert await reader.read() == b""
    writer.close()


# --- a pasted answer ------------------------------------------------------------------------------------------


def paste(provider: ProviderConfig, answers: Callable[[str], list[str]]) -> tuple[Grant, list[str]]:
    """`answers` makes what is pasted, in turn, out of the redirect of the provider."""
    shown: list[str] = []
    waiting: list[str] = []

    def ask(prompt: str) -> str:
        if not waiting:
            url = next(line for line in shown if line.startswith("http"))
            waiting.extend(answers(visit(url).headers["location"]))
        return waiting.pop(0)

    return run_online(login_by_paste(provider, show=shown.append, ask=ask)), shown


def code_in(redirect: str) -> tuple[str, str]:
    query = parse_qs(urlsplit(redirect).query)
    return query["code"][0], query["state"][0]


@pytest.mark.parametrize(
    "form",
    [
        lambda redirect: redirect,
        lambda redirect: f"  {redirect[:40]}\n{redirect[40:]} \n",
        lambda redirect: redirect.partition("?")[2],
        lambda redirect: redirect.replace("?", "#"),
        lambda redirect: "#".join(code_in(redirect)),
        lambda redirect: code_in(redirect)[0],
    ],
    ids=["address", "broken lines", "query", "fragment", "code#state", "code"],
)
def test_every_usual_paste_is_taken(upstream: SimulatorThread, form: Callable[[str], str]) -> None:
    grant, shown = paste(provider_at(upstream), lambda redirect: [form(redirect)])
    assert grant.refresh is not None
    assert any("cannot be reached" in line for line in shown)
    assert upstream.token_requests[0].outcome == "rotated"


def test_a_page_of_the_provider_can_show_the_code(upstream: SimulatorThread) -> None:
    page = f"{upstream.url}/show-code"
    grant, shown = paste(provider_at(upstream, redirect_url=page), lambda redirect: [redirect])
    assert grant.refresh is not None
    assert not any("cannot be reached" in line for line in shown)
    query = parse_qs(upstream.journal.of(path="/oauth/authorize")[0].query)
    assert query["redirect_uri"] == [page]


def test_a_wrong_paste_is_asked_again(upstream: SimulatorThread) -> None:
    grant, shown = paste(
        provider_at(upstream),
        lambda redirect: ["", redirect.replace("state=", "state=x"), code_in(redirect)[0]],
    )
    assert grant.refresh is not None
    assert [line for line in shown if "no code" in line]
    assert [line for line in shown if "state" in line and "://" not in line]


def test_three_wrong_pastes_end_the_login(upstream: SimulatorThread) -> None:
    with pytest.raises(OAuthError, match="Start the login again") as caught:
        paste(provider_at(upstream), lambda redirect: ["", "code#wrong", "http://127.0.0.1/callback?code=c"])
    assert caught.value.code == "cancelled"
    assert upstream.token_requests == []


def test_a_pasted_refusal_ends_the_login(upstream: SimulatorThread) -> None:
    upstream.script(["deny"], path="/oauth/authorize")
    with pytest.raises(OAuthError, match="access_denied"):
        paste(provider_at(upstream), lambda redirect: [redirect])


# --- what comes back, without a network -------------------------------------------------------------------------

PROVIDER = ProviderConfig("sim", "tests", "https://l.test/a", "https://l.test/t", issuer="https://l.test")
PENDING = new_login(PROVIDER, "http://127.0.0.1:9/callback")


def query(**fields: str) -> str:
    return urlencode({"state": PENDING.state, **fields})


def test_the_issuer_that_answers_is_the_one_that_was_asked() -> None:
    assert code_of_redirect(query(code="c", iss="https://l.test"), PROVIDER, PENDING) == "c"
    with pytest.raises(NotThisLogin, match="another issuer"):
        code_of_redirect(query(code="c", iss="https://evil.test"), PROVIDER, PENDING)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PENDING.url, "no code"),
        (f"https://l.test/callback?{query(code='')}", "no code"),
        ("https://l.test/callback?code=c", "state"),
        (f"https://l.test/callback?code=c&state={PENDING.state}x", "state"),
        (f"https://l.test/callback?{query(code='c')}&state={PENDING.state}", "twice"),
        ("error=access_denied", "state"),
        ("c#", "another login"),
        ("c#" + PENDING.state[:-1], "another login"),
        ("#" + PENDING.state, "no code"),
        ("c\u00f6de", "no code"),
        ("x" * 20_000, "too long"),
        ("?" + "&".join(f"a{n}=1" for n in range(99)), "state"),
    ],
    ids=[
        f"paste {number}" for number in range(12)
    ],  # the state is random, and workers must agree on the names
)
def test_a_paste_that_is_not_this_login_says_what_to_do(text: str, message: str) -> None:
    with pytest.raises(NotThisLogin, match=message):
        code_of_paste(text, PROVIDER, PENDING)


@given(st.text(max_size=80) | st.builds("{}?{}#{}".format, st.text(), st.text(), st.text()))
def test_no_paste_with_an_address_passes_without_the_state(text: str) -> None:
    pending = PendingLogin("u", "s" * 43, "v" * 43, "http://127.0.0.1:9/callback")
    try:
        code = code_of_paste(text, PROVIDER, pending)
    except NotThisLogin:
        return
    assert "://" not in text
    assert "code=" not in text
    assert code == "".join(text.split())
