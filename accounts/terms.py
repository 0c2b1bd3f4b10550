"""What is said where a subscription credential is added. Honest and short; the decision is the operator's.

Source: Anthropic's page below, section "Authentication and credential use", in our own words.
"""

from __future__ import annotations

from accounts.models import Account
from backends.wire.kinds import Protocol

ANTHROPIC_TERMS = "https://code.claude.com/docs/en/legal-and-compliance"
SUBSCRIPTION_TOKEN = "sk-ant-oat"  # how the tokens of Anthropic's plans begin; its API keys begin otherwise

RULE = (
    "Whether the login of a plan may be used through another program is for the provider's terms to say, not for"
    " Patchbay."
)
ANTHROPIC = (
    f"Anthropic says at {ANTHROPIC_TERMS} that the logins of its plans are for ordinary use of its own apps, and"
    " asks those who build other products to use API keys."
)
FIRST = "This is the login of a plan, not an API key."
FILE = (
    "The file belongs to the program that wrote it, and that program refreshes the token. Patchbay reads it, follows"
    " its changes, and never writes or refreshes it."
)
DECISION = "The account is yours, and so is the decision. An API key is the way without this question."


def is_subscription_token(text: str) -> bool:
    """Whether a pasted text is shaped like the token of an Anthropic plan (what `claude setup-token` prints)."""
    return text.strip().startswith(SUBSCRIPTION_TOKEN)


def terms_notice(kind: str, *, is_anthropic: bool) -> str:
    """What to show before an account of this kind is added; "" for a kind that is no subscription."""
    if kind not in (Account.OAUTH, Account.TOKEN_FILE):
        return ""
    where = ANTHROPIC if is_anthropic else "Read the terms of your provider."
    return " ".join(
        part for part in (FIRST, RULE, where, FILE if kind == Account.TOKEN_FILE else "", DECISION) if part
    )


def account_terms(row: Account) -> str:
    """The notice for an account; "" when its credential is no subscription's."""
    return terms_notice(row.kind, is_anthropic=row.backend.protocol == Protocol.ANTHROPIC)
