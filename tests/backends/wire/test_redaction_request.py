"""What of a request is replaced, what never is, and that the rest keeps its bytes and the conversation its prefix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.wire.conversation import Block, Conversation, Lost, Text, ToolCall, ToolResult, Turn
from backends.wire.kinds import Kind
from backends.wire.redaction import BUILTIN, Rule, RuleSet, Vault, dry_run, redact_request, redact_text
from backends.wire.shapes import BadBody
from backends.wire.splice import peek, splice
from tests.backends.wire.case_files import all_cases
from tests.backends.wire.pairs import PACKAGES, TARGETS, every
from tests.backends.wire.redacting import CANARIES, KEY, KINDS, RULES, decoded, redacted, salted
from tests.backends.wire.redacting_bodies import BODIES, KEPT, OUT
from tests.backends.wire.strategies import conversations, damaged, json_values

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def spellings(body: dict[str, Any]) -> Iterator[bytes]:
    """The same request as different clients write it."""
    plain = json.dumps(body, ensure_ascii=False).encode()
    yield plain
    yield json.dumps(body, indent=2).encode()
    yield plain.replace(b"@", b"\\u0040").replace(b"y", b"\\u0079")
    yield json.dumps(body | {"note": 'é"\\ "'}, ensure_ascii=False).encode().replace(b"/", b"\\/")


@pytest.mark.parametrize("kind", BODIES)
def test_content_is_replaced_everywhere_and_the_protocols_own_strings_nowhere(kind: Kind) -> None:
    text = json.dumps(BODIES[kind])
    for body in spellings(BODIES[kind]):
        peek(kind, body)
        said = decoded(redacted(kind, body))
        assert OUT not in said
        assert said.count(KEPT) == text.count(KEPT)
        placeholder = Vault(KEY).placeholder("EMAIL", OUT.encode()).decode()
        assert json.loads(redacted(kind, body)) | {"note": 0} == json.loads(
            text.replace(OUT, placeholder)
        ) | {"note": 0}


@pytest.mark.parametrize("kind", BODIES)
def test_a_request_without_matches_gets_no_edits_and_fills_no_vault(kind: Kind) -> None:
    vault = Vault(KEY)
    body = json.dumps(BODIES[kind]).replace(OUT, "nobody").encode()
    assert redact_request(kind, body, RULES, vault) == ([], [])
    assert vault.is_empty


def test_without_rules_a_body_is_not_even_read() -> None:
    assert redact_request(Kind.CHAT, b"no json", RuleSet([]), Vault(KEY)) == ([], [])


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"messages":' + b"[" * 100_000])
def test_what_cannot_be_searched_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody, match="Send one JSON object"):
        redact_request(Kind.CHAT, body, RULES, Vault(KEY))


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x@example.com"', b"null", b'{"messages":3,"tools":"x"}'])
def test_what_is_no_request_has_no_content(body: bytes) -> None:
    assert redact_request(Kind.CHAT, body, RULES, Vault(KEY)) == ([], [])


def test_a_field_that_is_given_twice_is_searched_twice() -> None:
    body = json.dumps({"messages": [{"content": OUT, "CONTENT": OUT}]}).replace("CONTENT", "content").encode()
    assert redacted(Kind.CHAT, body).count(b"PB_EMAIL_") == 2


def test_a_block_that_calls_itself_two_things_is_not_taken_for_signed_reasoning() -> None:
    body = json.dumps({"messages": [{"type": "thinking", "TYPE": "text", "text": OUT, "signature": "s"}]})
    assert OUT not in redacted(Kind.MESSAGES, body.replace("TYPE", "type").encode()).decode()


def test_arguments_too_deep_to_be_read_are_searched_as_text() -> None:
    deep = "[" * 5000 + f'"{OUT}"' + "]" * 5000
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": deep}}
    body = json.dumps({"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}).encode()
    assert OUT not in redacted(Kind.CHAT, body).decode()


# --- spans --------------------------------------------------------------------------------------------------------


def _put_back(value: Any, vault: Vault) -> Any:
    """The parsed request with values for placeholders; JSON in strings is compared as what it says."""
    if isinstance(value, str):
        return _unfolded(value, vault)
    if isinstance(value, dict):
        return {_text(key, vault): _put_back(inner, vault) for key, inner in value.items()}
    return [_put_back(inner, vault) for inner in value] if isinstance(value, list) else value


def _unfolded(text: str, vault: Vault) -> Any:
    if text.startswith("{"):
        try:
            return ["unfolded", _put_back(json.loads(text), vault)]
        except ValueError:
            pass
    return _text(text, vault)


def _text(text: str, vault: Vault) -> str:
    parts = []
    for word in text.split("PB_"):
        label, _, rest = word.partition("_")
        value = vault.value(f"PB_{label}_{rest[:10]}".encode())
        parts.append(f"PB_{word}" if value is None else value.decode() + rest[10:])
    return "".join(parts).removeprefix("PB_")


def _salt(talk: Conversation, draw: st.DrawFn) -> Conversation:
    """The conversation with secrets in its texts, its calls and their results."""
    return replace(
        talk,
        system=[Text(draw(salted())) for _ in talk.system],
        turns=[Turn(turn.role, [_salted_block(block, draw) for block in turn.blocks]) for turn in talk.turns],
    )


def _salted_block(block: Block, draw: st.DrawFn) -> Block:
    if isinstance(block, Text):
        return Text(draw(salted()))
    if isinstance(block, ToolResult):
        return replace(block, content=[Text(draw(salted()))])
    if isinstance(block, ToolCall):
        value = draw(st.dictionaries(salted(), salted() | st.lists(salted(), max_size=2), max_size=2))
        return replace(block, arguments=json.dumps(value, ensure_ascii=draw(st.booleans())))
    return block


@st.composite
def salted_talks(draw: st.DrawFn) -> Conversation:
    return _salt(draw(conversations()), draw)


@every
@few
@given(talk=salted_talks(), at=st.sampled_from(["@", "\\u0040"]))
def test_no_canary_leaves_and_nothing_else_changes(protocol: str, talk: Conversation, at: str) -> None:
    body = PACKAGES[protocol].build_request(talk, TARGETS[protocol], Lost()).body
    body = body.decode().replace("@", at).encode()
    vault = Vault(KEY)
    sent = redacted(KINDS[protocol], body, vault)
    assert not [canary for canary in CANARIES if canary in decoded(sent)]
    assert _put_back(json.loads(sent), vault) == _put_back(json.loads(body), Vault(KEY))
    assert peek(KINDS[protocol], sent).model == peek(KINDS[protocol], body).model
    assert redacted(KINDS[protocol], sent) == sent


@every
@few
@given(talk=salted_talks())
def test_every_edit_replaces_exactly_one_value(protocol: str, talk: Conversation) -> None:
    body = PACKAGES[protocol].build_request(talk, TARGETS[protocol], Lost()).body
    vault = Vault(KEY)
    edits, findings = redact_request(KINDS[protocol], body, RULES, vault)
    assert len(edits) == len(findings)
    for (start, end, placeholder), finding in zip(edits, findings, strict=True):
        assert placeholder.decode() == finding.placeholder
        once = json.loads(b'"' + body[start:end] + b'"')
        value = (vault.value(placeholder) or b"").decode()
        assert value == once or value == json.loads(f'"{once}"')


@few
@given(data=st.data())
def test_any_body_that_is_let_in_can_be_redacted(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([case for case in all_cases() if case["request"]]))
    told = data.draw(damaged(json.loads(case.request)) | json_values)
    body = json.dumps(told).replace("user", OUT).encode()
    for kind in Kind:
        assert type(json.loads(redacted(kind, body))) is type(told)


# --- the same again, in the next turn -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES])
@few
@given(texts=st.lists(salted(), min_size=2, max_size=6), turn=st.integers(1, 5))
def test_the_next_turn_begins_with_the_bytes_of_this_one(kind: Kind, texts: list[str], turn: int) -> None:
    field = "input" if kind is Kind.RESPONSES else "messages"
    turns = [json.dumps({"role": "user", "content": text}) for text in texts]
    head = json.dumps({"model": "m", "system": texts[-1], "instructions": texts[0]})[:-1] + f', "{field}": ['
    whole = f"{head}{','.join(turns)}]}}".encode()
    earlier = f"{head}{','.join(turns[:turn])}]}}".encode()
    assert redacted(kind, whole).startswith(redacted(kind, earlier)[:-2])


def test_a_value_has_one_placeholder_in_all_requests_of_an_installation() -> None:
    one = redacted(Kind.CHAT, json.dumps({"messages": [{"content": OUT}]}).encode())
    two = redacted(Kind.MESSAGES, json.dumps({"system": f"a {OUT} b {KEPT}"}).encode())
    name = json.loads(one)["messages"][0]["content"]
    assert name.startswith("PB_EMAIL_")
    assert json.loads(two)["system"].split()[1] == name
    other = redacted(Kind.CHAT, json.dumps({"messages": [{"content": OUT}]}).encode(), Vault(b"another key"))
    assert other != one


def test_values_whose_hashes_collide_get_placeholders_of_their_own() -> None:
    vault = Vault(KEY, lambda key: lambda text: b"aaaaaaaaa" + (b"b" if b"\x001\x00" in text else b"a"))
    body = json.dumps({"messages": [{"content": f"{OUT} {KEPT} {OUT}"}]}).encode()
    sent = json.loads(redacted(Kind.CHAT, body, vault))["messages"][0]["content"].split()
    assert sent == ["PB_EMAIL_aaaaaaaaaa", "PB_EMAIL_aaaaaaaaab", "PB_EMAIL_aaaaaaaaaa"]
    assert vault.value(b"PB_EMAIL_aaaaaaaaab") == KEPT.encode()


def test_a_vault_does_not_show_what_it_holds() -> None:
    vault = Vault(KEY)
    vault.placeholder("EMAIL", OUT.encode())
    assert repr(vault) == "<Vault of 1 values>"


# --- tools' inputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], {"value": 1, "x": "y"}])
def test_the_key_of_a_tools_input_may_say_that_its_value_is_secret(value: Any) -> None:
    block = {"type": "tool_use", "id": "t", "name": "login", "input": {"password": value, "user": "hunter2"}}
    call = {"function": {"arguments": json.dumps(block["input"])}}
    native = redacted(Kind.MESSAGES, json.dumps({"messages": [{"content": [block]}]}).encode())
    folded = redacted(Kind.CHAT, json.dumps({"messages": [{"tool_calls": [call]}]}).encode())
    inputs = json.loads(native)["messages"][0]["content"][0]["input"]
    assert inputs == json.loads(json.loads(folded)["messages"][0]["tool_calls"][0]["function"]["arguments"])
    assert inputs["user"] == "hunter2"
    assert ("hunter2" in json.dumps(inputs["password"])) is False
    assert ("PB_SECRET_" in json.dumps(inputs["password"])) is not isinstance(value, dict)


def test_a_key_and_its_value_may_match_together_and_only_the_value_goes() -> None:
    rules = RuleSet([Rule("customer", "CUSTOM", "customer.{0,3}[0-9]{4}")])
    block = {"type": "tool_use", "input": {"customer": "1234, 5678"}}
    body = json.dumps({"messages": [{"content": [block]}]}).encode()
    sent = json.loads(redacted(Kind.MESSAGES, body, rules=rules))["messages"][0]["content"][0]["input"][
        "customer"
    ]
    assert sent.startswith("PB_CUSTOM_")
    assert sent.endswith(", 5678")


# --- the page that shows it ---------------------------------------------------------------------------------------


def test_a_dry_run_tells_where_what_and_why_without_the_value() -> None:
    body = json.dumps(
        {"system": f"Ask {OUT} or {KEPT} now, please.", "messages": [{"content": "mail x@y.io"}]}
    ).encode()
    found = dry_run(Kind.MESSAGES, body, RULES, KEY)
    assert [(finding.path, finding.rule, finding.type) for finding in found] == [
        ("$.system", "email-address", "EMAIL"),
        ("$.system", "email-address", "EMAIL"),
        ("$.messages[0].content", "email-address", "EMAIL"),
    ]
    assert found[0].preview == "Ask [aw…, 16 characters] or "
    assert found[1].preview == " or [ke…, 16 characters] now, please."
    assert found[2].preview == "mail […, 6 characters]"
    assert found[0].placeholder == Vault(KEY).placeholder("EMAIL", OUT.encode()).decode()


def test_a_finding_in_a_tools_input_does_not_tell_the_keys() -> None:
    body = json.dumps(
        {"messages": [{"content": [{"type": "tool_use", "input": {OUT: {"a": KEPT}}}]}]}
    ).encode()
    found = dry_run(Kind.MESSAGES, body, RULES)
    assert {finding.path for finding in found} == {"$.messages[0].content[0].input"}
    assert OUT not in repr(found)
    assert KEPT not in repr(found)


def test_plain_text_can_be_tried_as_well() -> None:
    vault = Vault(KEY)
    text, found = redact_text(f"Ask {OUT}, \ud800 é.", RULES, vault)
    assert text == f"Ask {found[0].placeholder}, \ud800 é."
    assert found[0].preview == "Ask [aw…, 16 characters],  é."
    clean = "nothing here"
    assert redact_text(clean, RULES, vault) == (clean, [])
    assert redact_text(clean, RULES, vault)[0] is clean


def test_edits_go_together_with_others() -> None:
    body = json.dumps({"model": "a", "messages": [{"content": OUT}]}).encode()
    edits, _ = redact_request(Kind.CHAT, body, RuleSet(BUILTIN), Vault(KEY))
    span = peek(Kind.CHAT, json.dumps({"model": "a", "messages": []}).encode()).model_span
    assert span is not None
    sent = json.loads(splice(body, [(*span, b'"b"'), *edits]))
    assert sent["model"] == "b"
    assert sent["messages"][0]["content"].startswith("PB_EMAIL_")
