from __future__ import annotations

import pytest

from accounts.terms import is_subscription_token, terms_notice


@pytest.mark.parametrize("kind", ["api_key", "caller", "none"])
def test_what_is_no_subscription_needs_no_notice(kind: str) -> None:
    assert terms_notice(kind, is_anthropic=True) == ""


def test_the_notice_names_whose_terms_decide() -> None:
    anthropic, other = (terms_notice("oauth", is_anthropic=known) for known in (True, False))
    assert "https://code.claude.com/docs/en/legal-and-compliance" in anthropic
    assert "Anthropic" not in other
    assert "terms of your provider" in other
    assert "decision" in anthropic
    assert "decision" in other


def test_only_a_token_file_has_another_owner() -> None:
    assert "never writes or refreshes it" in terms_notice("token_file", is_anthropic=True)
    assert "never writes" not in terms_notice("oauth", is_anthropic=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [("sk-ant-oat01-abc", True), (" sk-ant-oat01-abc\n", True), ("sk-ant-api03-abc", False), ("", False)],
)
def test_a_token_of_a_plan_is_told_by_its_beginning(text: str, found: bool) -> None:
    assert is_subscription_token(text) is found
