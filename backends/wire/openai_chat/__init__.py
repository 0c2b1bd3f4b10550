"""OpenAI Chat Completions, and the older Completions.

`parse_request` puts fields that have no neutral meaning into `Conversation.extras`. Its keys are JSON paths of the
client's body: `$.n`, `$.logit_bias`, `$.logprobs`, `$.top_logprobs`, `$.metadata`, `$.prediction`, `$.modalities`,
`$.audio` …; the value is the field's. `$.n` is there only if it is not 1: a builder for another protocol must refuse
it, since it has one answer to give. Every other key that a builder cannot carry belongs on its `Lost`.
"""

from __future__ import annotations

from backends.wire.openai_chat.errors import parse_error
from backends.wire.openai_chat.reader import StreamReader
from backends.wire.openai_chat.request_in import parse_request
from backends.wire.openai_chat.request_out import build_request
from backends.wire.openai_chat.response import build_response, parse_response
from backends.wire.openai_chat.tap import ChatTap
from backends.wire.openai_chat.writer import StreamWriter

__all__ = [
    "ChatTap",
    "StreamReader",
    "StreamWriter",
    "build_request",
    "build_response",
    "parse_error",
    "parse_request",
    "parse_response",
]
