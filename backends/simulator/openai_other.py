"""OpenAI embeddings and legacy completions."""

from __future__ import annotations

import base64
import math
import random
from array import array
from functools import lru_cache

from backends.simulator.asking import Ask, BadRequest, JsonObject, input_tokens, mapping, whole
from backends.simulator.events import Event, Events, Part, encode
from backends.simulator.openai_chat import DONE, require
from backends.simulator.reply import Reply, Tokens
from backends.wire.kinds import Kind

_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
_FINISH = {"length": "length", "filter": "content_filter"}


def read_embeddings(body: JsonObject) -> Ask:
    """Understand an embeddings request. Raises BadRequest."""
    require(body, "model")
    require(body, "input")
    inputs = _inputs(body["input"])
    if not inputs:
        raise BadRequest("Invalid 'input': give at least one text.", param="input")
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise BadRequest("Invalid 'encoding_format': use float or base64.", param="encoding_format")
    spent = sum(input_tokens(text) for text in inputs)
    return Ask(Kind.EMBEDDINGS, body["model"], body, input_tokens=spent, inputs=inputs)


def _inputs(given: object) -> tuple[str, ...]:
    """One text per vector. A list of token numbers counts as one text. Nothing where an item is neither."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list) or not given:
        return ()
    if isinstance(given[0], int):
        return (" ".join(map(str, given)),)
    if not all(isinstance(item, (str, list)) for item in given):
        return ()
    return tuple(item if isinstance(item, str) else " ".join(map(str, item)) for item in given)


def embedding_usage(tokens: Tokens) -> JsonObject:
    """The usage object of an embeddings answer."""
    return {"prompt_tokens": tokens.fresh, "total_tokens": tokens.fresh}


def embeddings(ask: Ask, usage: JsonObject | None) -> JsonObject:
    """The vectors: unit length, the same for the same text."""
    usual = _DIMENSIONS.get(ask.model.partition("+")[0], 256)
    width = min(8192, max(1, whole(ask.body, "dimensions") or usual))
    packed = ask.body.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(ask.inputs):
        vector = _vector(text, width)
        value = base64.b64encode(vector.tobytes()).decode() if packed else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": value})
    billed = {} if usage is None else {"usage": usage}
    return {"object": "list", "data": data, "model": ask.model, **billed}


@lru_cache(maxsize=256)
def _vector(text: str, width: int) -> array[float]:
    source = random.Random(text)
    raw = [source.uniform(-1, 1) for _ in range(width)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return array("f", (value / length for value in raw))


def read_completion(body: JsonObject) -> Ask:
    """Understand a legacy completions request. Raises BadRequest."""
    require(body, "model")
    require(body, "prompt")
    prompts = _inputs(body["prompt"])
    if not prompts:
        raise BadRequest("Invalid 'prompt': give text, texts or tokens.", param="prompt")
    return Ask(
        kind=Kind.COMPLETIONS,
        model=body["model"],
        body=body,
        stream=body.get("stream") is True,
        last_text=prompts[-1],
        max_tokens=whole(body, "max_tokens"),
        input_tokens=input_tokens(body["prompt"]),
        include_usage=mapping(body.get("stream_options")).get("include_usage") is True,
    )


def completion(ask: Ask, reply: Reply, ident: str, created: int, usage: JsonObject | None) -> JsonObject:
    """The whole answer as one JSON object."""
    choice = _choice(reply.text, _FINISH.get(reply.finish, "stop"))
    head = _head(ask, ident, created)
    return {**head, "choices": [choice], **({} if usage is None else {"usage": usage})}


def _head(ask: Ask, ident: str, created: int) -> JsonObject:
    return {"id": f"cmpl-{ident}", "object": "text_completion", "created": created, "model": ask.model}


def _choice(text: str, finish: str | None) -> JsonObject:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}


def stream(ask: Ask, reply: Reply, ident: str, created: int, usage: JsonObject | None) -> Events:
    """The same answer as chunks."""
    head = _head(ask, ident, created)
    tail = {"usage": None} if ask.include_usage else {}
    for piece in reply.pieces():
        yield Event(b"", encode({**head, "choices": [_choice(piece, None)], **tail}), Part.CONTENT)
    last = _choice("", _FINISH.get(reply.finish, "stop"))
    yield Event(b"", encode({**head, "choices": [last], **tail}), Part.TERMINAL)
    if ask.include_usage and usage is not None:
        yield Event(b"", encode({**head, "choices": [], "usage": usage}), Part.CLOSING)
    yield DONE
