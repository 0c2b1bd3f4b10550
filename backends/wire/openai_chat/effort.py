"""How much to think, in the words of each server."""

from __future__ import annotations

from backends.wire.conversation import Lost, Reasoning
from backends.wire.openai_chat.fields import Obj
from backends.wire.target import Target

_SCALE = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = ((4096, "high"), (2048, "medium"), (1024, "low"), (0, "minimal"))


def put_reasoning(body: Obj, reasoning: Reasoning, target: Target, lost: Lost) -> None:
    """Fill in the field that the target has for it. Nothing is sent where the client said nothing."""
    if reasoning.mode is None and reasoning.effort is None and reasoning.budget is None:
        return
    style = target.quirks.effort_style
    if style == "openrouter":
        _openrouter(body, reasoning)
        return
    is_off = reasoning.mode == "off" or reasoning.effort == "none"
    if style == "deepseek" and (is_off or reasoning.mode == "on"):
        body["thinking"] = {"type": "disabled" if is_off else "enabled"}
        if is_off:
            return
    wanted = "none" if is_off else _wanted(reasoning)
    if wanted is None:
        return  # adaptive alone is what every thinking model does by itself
    sent = nearest(wanted, target.efforts)
    if sent is None:
        lost.add("$.reasoning")
    else:
        body["reasoning_effort"] = sent


def _wanted(reasoning: Reasoning) -> str | None:
    if reasoning.effort or reasoning.budget is None:
        return reasoning.effort
    budget = reasoning.budget
    return next((word for least, word in _BUDGETS if budget >= least), "minimal")


def nearest(wanted: str, taken: tuple[str, ...]) -> str | None:
    """The word itself, else the next weaker one, else the next stronger; "none" has no neighbour."""
    if wanted in taken or wanted not in _SCALE:
        return wanted if wanted in taken else None
    ranks = [_SCALE.index(word) for word in taken if word != "none"]
    if wanted == "none" or not ranks:
        return None
    rank = _SCALE.index(wanted)
    return _SCALE[max((at for at in ranks if at < rank), default=min(ranks))]


def _openrouter(body: Obj, reasoning: Reasoning) -> None:
    if reasoning.mode == "off" or reasoning.effort == "none":
        body["reasoning"] = {"enabled": False}
    elif reasoning.effort:
        body["reasoning"] = {"effort": reasoning.effort}
    elif reasoning.budget:
        body["reasoning"] = {"max_tokens": reasoning.budget}
    elif reasoning.mode == "on":
        body["reasoning"] = {"enabled": True}
