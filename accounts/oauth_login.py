"""The interactive login, without any terminal code: callers say how to open a browser, how to show and how to ask.

Neither way stores anything: `store_grant` does, once the tokens are here.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Callable
from functools import partial

from accounts.oauth import Grant, OAuthError, PendingLogin, discover, exchange_code, new_login
from accounts.oauth_callback import NotThisLogin, code_of_paste, code_of_redirect
from accounts.oauth_listener import CALLBACK_PATH, CallbackListener
from accounts.providers import ProviderConfig

LOGIN_SECONDS = 300.0
_TRIES = 3
_DYNAMIC_PORTS = range(49152, 65536)  # RFC 6335 section 6: nobody is registered there


async def login_with_browser(
    provider: ProviderConfig,
    *,
    open_browser: Callable[[str], object],
    show: Callable[[str], object],
    timeout_s: float = LOGIN_SECONDS,
) -> Grant:
    """Log in through a browser on this machine. Raises OAuthError, whose text says how to go on.

    `open_browser` gets the address in a thread of its own: it may block, and it may fail (raise, or return False).
    `show` gets lines for the person, the address among them, always from the event loop's thread.
    """
    provider = await discover(provider)

    def read(query: str) -> str:
        return code_of_redirect(query, provider, pending)

    async with CallbackListener(read) as listener:
        pending = new_login(provider, listener.redirect_uri)
        show(f"Log in to {provider.backend} in your browser. If none opens, open this address:")
        show(pending.url)
        _open_aside(open_browser, pending.url, show)
        try:
            async with asyncio.timeout(timeout_s):
                code = await listener.code()
        except TimeoutError:
            raise OAuthError(
                f"Nobody finished the login within {timeout_s:g} s. Start it again; without a browser on this"
                " machine, with --manual.",
                code="timeout",
            ) from None
    return await exchange_code(provider, pending, code)


async def login_by_paste(
    provider: ProviderConfig, *, show: Callable[[str], object], ask: Callable[[str], str]
) -> Grant:
    """Log in through a browser anywhere: the person pastes what its last page shows. Raises OAuthError.

    `ask` prompts and gives the line that was typed. It may block: nothing else runs in this event loop.
    """
    provider = await discover(provider)
    pending = new_login(provider, provider.redirect_url or _unreachable_redirect())
    show(f"Log in to {provider.backend} with any browser, at this address:")
    show(pending.url)
    if not provider.redirect_url:
        show(
            "At the end the browser shows a page that cannot be reached. That is meant: copy its whole address."
        )
    return await exchange_code(provider, pending, _asked_code(provider, pending, show, ask))


def _asked_code(
    provider: ProviderConfig,
    pending: PendingLogin,
    show: Callable[[str], object],
    ask: Callable[[str], str],
) -> str:
    for _ in range(_TRIES):
        try:
            return code_of_paste(ask("Paste the address of the last page, or the code: "), provider, pending)
        except NotThisLogin as exc:
            show(str(exc))
    raise OAuthError(
        "No code that belongs to this login was pasted. Start the login again.", code="cancelled"
    )


def _unreachable_redirect() -> str:
    """A loopback address (RFC 8252 section 7.3) at which nobody listens, here or where the browser runs."""
    return f"http://127.0.0.1:{secrets.choice(_DYNAMIC_PORTS)}{CALLBACK_PATH}"


def _open_aside(open_browser: Callable[[str], object], url: str, show: Callable[[str], object]) -> None:
    """A thread of its own: a text browser holds its caller until it ends, and must not hold the listener."""
    loop = asyncio.get_running_loop()

    def run() -> None:
        try:
            opened = open_browser(url) is not False
        except Exception:
            opened = False
        if not opened:
            told = partial(show, "No browser could be opened here. Open the address yourself.")
            with contextlib.suppress(RuntimeError):  # the login, and its loop, ended first
                loop.call_soon_threadsafe(told)

    threading.Thread(target=run, name="open-browser", daemon=True).start()
