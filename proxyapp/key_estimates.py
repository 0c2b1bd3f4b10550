"""What a request of a limited client key may use, before it is sent; and what it has used, where nobody said.

Rule: an output limit that the client sets is reserved in full, so requests that run at once cannot pass a limit
together. Without one, what the model's answers had so far is taken, on the high side.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from backends.routing import Target
from backends.wire.estimate import CHARACTERS_PER_TOKEN, estimate_tokens
from backends.wire.kinds import Kind
from backends.wire.usage import Usage
from proxyapp.calibration import calibration
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.lanes import conversation
from proxyapp.relay import Relay

UNKNOWN_OUTPUT = 4096  # tokens, of a model that has not answered yet
MOST_OUTPUT = 10_000_000  # tokens; a client may allow any number, and no model has so many
_MODELS = 512
_MEAN_WEIGHT, _SPREAD_WEIGHT, _SPREADS = 1 / 8, 1 / 4, 4  # as TCP estimates its round trips: RFC 6298
# Bytes of a stream for one token of the answer, a little low; an answer in one piece is mostly text.
_STREAM_BYTES = {Kind.MESSAGES: 25, Kind.CHAT: 150, Kind.RESPONSES: 120, Kind.COMPLETIONS: 120}
_PLAIN_BYTES = 4
_SPOKEN = (Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens that a request may use at most, as far as can be told. `allowed`: the client's own limit on the output."""

    input: int
    output: int
    allowed: int | None = None

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input + self.output


class _Messages(Struct, gc=False):
    max_tokens: int | None = None


class _Chat(Struct, gc=False):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None


class _Completions(Struct, gc=False):
    max_tokens: int | None = None
    n: int | None = None


class _Responses(Struct, gc=False):
    max_output_tokens: int | None = None


# The fields that `peek` has checked for this kind.
_CAPS: dict[Kind, msgspec.json.Decoder[Any]] = {
    Kind.MESSAGES: msgspec.json.Decoder(_Messages),
    Kind.CHAT: msgspec.json.Decoder(_Chat),
    Kind.COMPLETIONS: msgspec.json.Decoder(_Completions),
    Kind.RESPONSES: msgspec.json.Decoder(_Responses),
}


@dataclass
class OutputSizes:
    """How many tokens answers have, by backend and model: mean and mean deviation. Bounded; the oldest go first."""

    _learnt: OrderedDict[tuple[str, str], tuple[float, float]] = field(default_factory=OrderedDict)

    def observe(self, target: Target, output: int) -> None:
        """An answer was complete and had this many tokens."""
        name = (target.backend.name, target.model)
        known = self._learnt.pop(name, None)
        if known is None:
            self._learnt[name] = (float(output), output / 2)
        else:
            mean, spread = known
            spread += _SPREAD_WEIGHT * (abs(output - mean) - spread)
            self._learnt[name] = (mean + _MEAN_WEIGHT * (output - mean), spread)
        if len(self._learnt) > _MODELS:
            self._learnt.popitem(last=False)

    def expected(self, target: Target) -> int:
        """As many as few answers exceed."""
        mean, spread = self._learnt.get((target.backend.name, target.model), (UNKNOWN_OUTPUT, 0))
        return round(mean + _SPREADS * spread)


output_sizes = OutputSizes()


def estimate_of(call: ClientCall, targets: Sequence[Target]) -> Estimate:
    """What the request may use at any of these targets."""
    if call.kind not in _CAPS:
        return Estimate(_input_tokens(call, targets), 0)
    allowed, answers = _caps(call)
    each = allowed if allowed is not None else max(output_sizes.expected(target) for target in targets)
    return Estimate(_input_tokens(call, targets), min(each * answers, MOST_OUTPUT), allowed)


def _caps(call: ClientCall) -> tuple[int | None, int]:
    """The client's limit on one answer, and how many answers it wants."""
    caps: Struct = _CAPS[call.kind].decode(call.body)
    found = [getattr(caps, name) for name in caps.__struct_fields__ if name != "n"]
    allowed = min((cap for cap in found if cap is not None), default=None)
    return allowed, max(1, getattr(caps, "n", None) or 1)


def _input_tokens(call: ClientCall, targets: Sequence[Target]) -> int:
    """By the size of the body; pictures and files, whose size says nothing, are counted one by one.

    A body that was read for a translation anyway is counted by what was learnt of the targets' tokens.
    """
    if call.conversation is not None:
        ratio = min(calibration.characters_per_token(target) for target in targets)
        return estimate_tokens(call.conversation, ratio)
    if b"base64" in call.body and call.kind in _SPOKEN:
        try:
            return estimate_tokens(conversation(call))
        except ProxyError:
            pass  # only the direct lane can carry it, and does not have to read it
    return max(1, round(len(call.body) / CHARACTERS_PER_TOKEN))


class Served(Struct, frozen=True):
    """An answer of which `passed` bytes were passed on, with what its provider reported.

    `is_final`: the usage is that of the whole answer. `is_complete`: all of the answer was passed on.
    """

    usage: Usage | None
    passed: int
    is_stream: bool = False
    is_final: bool = True
    is_complete: bool = True

    @classmethod
    def of_stream(cls, relay: Relay, *, is_complete: bool) -> Served:
        """What a relay has passed on."""
        flow = relay.flow
        return cls(flow.usage, relay.passed, True, flow.usage_is_final, is_complete)

    @property
    def reported(self) -> Usage | None:
        """The usage, unless it says that nothing was used, which is never true of an answer."""
        usage = self.usage
        return usage if usage is not None and (usage.input_tokens or usage.output) else None


def used(estimate: Estimate, served: Served, kind: Kind) -> Usage:
    """What a served request has used: as reported, and by the bytes that were passed on where that is missing.

    Providers do not report the usage of a chat stream unless it is asked for, nor of a stream that is cancelled; some
    tell the input only at the end, or report zeros.
    """
    usage, passed = served.reported, served.passed
    if usage is not None and served.is_final:
        return usage
    bytes_per_token = _STREAM_BYTES.get(kind, _PLAIN_BYTES) if served.is_stream else _PLAIN_BYTES
    seen = 0 if kind is Kind.EMBEDDINGS else passed // bytes_per_token
    output = seen if estimate.allowed is None else min(seen, estimate.output)
    came_in = estimate.input if passed else 0
    if usage is None:
        return Usage(came_in, 0, 0, 0, output, 0, b"")
    fresh = usage.fresh_input if usage.input_tokens else came_in
    return msgspec.structs.replace(usage, fresh_input=fresh, output=max(usage.output, output))
