"""Turns of any client become messages that alternate, with each call answered right behind it."""

from __future__ import annotations

from typing import Any

import pytest

from backends.wire.anthropic import build_request
from backends.wire.conversation import Cache, Conversation, Lost, Media, Text, ToolCall, ToolResult, Turn
from backends.wire.target import Target
from tests.backends.wire.anthropic.sdk import checked_request

NEW, OLD = "claude-opus-4-8", "claude-sonnet-4-5"


def user(*blocks: Any) -> Turn:
    return Turn("user", [Text(block) if isinstance(block, str) else block for block in blocks])


def assistant(*blocks: Any) -> Turn:
    return Turn("assistant", user(*blocks).blocks)


def system(text: str) -> Turn:
    return Turn("system", [Text(text)])


def call(call_id: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, "f", arguments)


def result(call_id: str, text: str = "", *, is_error: bool = False) -> ToolResult:
    return ToolResult(call_id, [Text(text)] if text else [], is_error)


def build(*turns: Turn, model: str = NEW) -> tuple[dict[str, Any], list[str]]:
    lost = Lost()
    return checked_request(
        build_request(Conversation(model, list(turns)), Target(model), lost).body
    ), lost.paths


def brief(body: dict[str, Any]) -> list[tuple[str, list[object]]]:
    def word(block: dict[str, Any]) -> object:
        kind = block["type"]
        if kind == "tool_result":
            return f"<{block['tool_use_id']}:{block.get('content')}{'!' if block.get('is_error') else ''}>"
        return f"[{block['id']}]" if kind == "tool_use" else block["text"]

    return [(message["role"], [word(block) for block in message["content"]]) for message in body["messages"]]


def test_results_stand_first_in_one_message_in_the_order_of_their_calls() -> None:
    body, lost = build(
        user("q"),
        assistant("let me", call("a"), call("b")),
        user(result("b", "B")),
        user("and?", result("a", "A")),
    )
    assert brief(body)[2] == ("user", ["<a:A>", "<b:B>", "and?"])
    assert lost == []


def test_orphans_are_dropped_and_missing_results_are_errors() -> None:
    body, lost = build(
        user("q", result("x", "X")), assistant(call("a"), call("b")), user(result("a", "A"), "go on")
    )
    assert brief(body) == [
        ("user", ["q"]),
        ("assistant", ["[a]", "[b]"]),
        ("user", ["<a:A>", "<b:no result was given!>", "go on"]),
    ]
    assert lost == ["$.messages[0].content[1]"]


def test_of_two_results_the_last_one_counts() -> None:
    body, lost = build(user("q"), assistant(call("a")), user(result("a", "1")), user(result("a", "2")))
    assert brief(body)[2] == ("user", ["<a:2>"])
    assert lost == ["$.messages[2].content[0]"]


def test_a_late_result_moves_to_its_call() -> None:
    body, _ = build(
        user("q"), assistant(call("a")), user("hm"), assistant("wait"), user(result("a", "A")), user("so?")
    )
    assert brief(body) == [
        ("user", ["q"]), ("assistant", ["[a]"]), ("user", ["<a:A>", "hm"]), ("assistant", ["wait"]), ("user", ["so?"]),
    ]  # fmt: skip


def test_ids_that_repeat_or_are_not_allowed_are_made_good_on_both_sides() -> None:
    turns = [user("q")]
    for text in ("1", "2"):
        turns += [assistant(call("functions.f:0")), user(result("functions.f:0", text))]
    body, _ = build(*turns)
    calls = [message["content"][0]["id"] for message in body["messages"][1::2]]
    results = [message["content"][0] for message in body["messages"][2::2]]
    assert calls[0] != calls[1]
    assert [block["tool_use_id"] for block in results] == calls
    assert [block["content"] for block in results] == ["1", "2"]
    assert all(name.replace("_", "").replace("-", "").isalnum() for name in calls)


def test_conversations_that_end_in_a_call_are_answered() -> None:
    body, _ = build(user("q"), assistant(call("a")))
    assert brief(body)[-1] == ("user", ["<a:no result was given!>"])


def test_same_roles_are_merged_and_empty_texts_vanish() -> None:
    body, _ = build(user("a", ""), user("  "), user("b"), assistant("c"), assistant(""), user("d"))
    assert brief(body) == [("user", ["a", "b"]), ("assistant", ["c", "(no content)"]), ("user", ["d"])]


def test_the_first_message_is_the_users() -> None:
    assert brief(build(assistant("hi"), user("yo"))[0])[0][0] == "user"
    body, _ = build(system("rules"))
    assert [role for role, _ in brief(body)] == ["user"]
    assert body["system"] == [{"type": "text", "text": "rules"}]


@pytest.mark.parametrize(
    ("model", "roles"), [(NEW, ["user", "assistant", "user"]), (OLD, ["user", "assistant"])]
)
def test_a_final_assistant_turn_is_continued_or_answered(model: str, roles: list[str]) -> None:
    body, _ = build(user("q"), assistant("The answer is \n"), model=model)
    assert [role for role, _ in brief(body)] == roles
    assert brief(body)[1] == ("assistant", ["The answer is"])


def test_an_empty_final_assistant_turn_is_no_turn() -> None:
    assert brief(build(user("q"), assistant(""))[0]) == [("user", ["q"])]


def test_system_turns_stay_between_user_and_assistant() -> None:
    body, lost = build(
        user("q"), system("s"), assistant(call("a")), system("t"), user(result("a", "A")), system("u")
    )
    assert brief(body) == [
        ("user", ["q"]), ("system", ["s"]), ("assistant", ["[a]"]), ("user", ["<a:A>"]), ("system", ["t", "u"]),
    ]  # fmt: skip
    assert lost == []


def test_system_turns_elsewhere_are_folded_into_the_user_turn() -> None:
    note = "<system-reminder>\ns\n</system-reminder>"
    body, lost = build(user("q"), assistant("a"), system("s"), user("r"))
    assert brief(body)[2] == ("user", [note, "r"])
    assert lost == ["$.messages[2].role"]
    body, lost = build(user("q"), system("s"), user("r"))
    assert brief(body) == [("user", ["q", note, "r"])]
    assert lost == ["$.messages[1].role"]
    body, lost = build(user("q"), system("s"), assistant("a"), user("r"), model=OLD)
    assert brief(body)[0] == ("user", ["q", note])
    assert lost == ["$.messages[1].role"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ("null", {}),
        ("[1]", {"value": [1]}),
        ('{"a": ', {"value": '{"a":'}),
        ('{"a": 1.0}', {"a": 1.0}),
    ],
)
def test_arguments_are_an_object(arguments: str, expected: object) -> None:
    body, _ = build(user("q"), assistant(call("a", arguments)))
    assert body["messages"][1]["content"][0]["input"] == expected


def test_arguments_keep_their_bytes() -> None:
    arguments = '{"b" : 1.0,\t"a":"\\u00fc", "n":1e2 }'
    talk = Conversation(NEW, [user("q"), assistant(call("a", arguments))])
    assert arguments.encode() in build_request(talk, Target(NEW), Lost()).body


def test_results_carry_images_errors_and_breakpoints() -> None:
    image = Media("image", "image/png", url="https://x/y.png")
    turns = [
        user("q"),
        assistant(call("a"), call("b")),
        user(ToolResult("a", [Text("see", Cache()), image], cache=Cache("1h")), result("b", is_error=True)),
    ]
    body, _ = build(*turns)
    first, second = body["messages"][2]["content"]
    assert [block["type"] for block in first["content"]] == ["text", "image"]
    assert second["is_error"]
    assert second["content"]
