"""What comes back from the provider at the end of a login: parameters of a redirect, or what a person pasted.

Rule: the state is compared in constant time before anything else is believed, also an error.
Sources: RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207 (`iss`).
"""

from __future__ import annotations

import hmac
from urllib.parse import parse_qsl

from accounts.oauth import PendingLogin
from accounts.oauth_answers import provider_refusal
from accounts.providers import ProviderConfig

_MOST_FIELDS = 50
_LONGEST = 16 * 1024


class NotThisLogin(Exception):
    """What came does not belong to this login, or cannot be read. The login goes on. The text says what to do."""


def code_of_redirect(query: str, provider: ProviderConfig, pending: PendingLogin) -> str:
    """The code in the query of a redirect. Raises NotThisLogin, or OAuthError when the provider ended the login."""
    given = _fields(query)
    if not _same(given.get("state", ""), pending.state):
        raise NotThisLogin(
            "It does not carry the state of this login. Log in from the address that was shown."
        )
    if provider.issuer and given.get("iss", provider.issuer) != provider.issuer:
        raise NotThisLogin("It comes from another issuer. Check the issuer of this backend's OAuth provider.")
    if "error" in given:
        raise provider_refusal(given["error"], given.get("error_description", ""), backend=provider.backend)
    return _code(given.get("code", ""))


def code_of_paste(text: str, provider: ProviderConfig, pending: PendingLogin) -> str:
    """The code in what was pasted: the whole address of the last page, `code#state`, or the code alone.

    An address must carry the state; `code#state` must carry the right one. Raises as `code_of_redirect`.
    """
    text = "".join(text.split())  # a terminal breaks long lines
    if len(text) > _LONGEST:
        raise NotThisLogin("That is too long. Paste the address of the last page, or the code it shows.")
    if "://" in text or text.startswith("?") or "code=" in text or "error=" in text:
        return code_of_redirect(_query(text), provider, pending)
    code, joint, state = text.partition("#")
    if joint and not _same(state, pending.state):
        raise NotThisLogin("That code belongs to another login. Paste the code that the last page shows now.")
    return _code(code)


def _query(text: str) -> str:
    """The parameters of an address; some providers put them behind the `#`."""
    address, _, fragment = text.partition("#")
    query = address.partition("?")[2] or ("" if "://" in address else address)
    return query or fragment


def _fields(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        pairs = []
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NotThisLogin("It names a parameter twice. Log in from the address that was shown.")
    return fields


def _code(code: str) -> str:
    if not code or not code.isascii() or not code.isprintable() or " " in code:
        raise NotThisLogin(
            "There is no code in it. Finish the login in the browser, then take its last page."
        )
    return code


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
