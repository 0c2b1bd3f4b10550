"""What a served request has used, for its record: as the provider reported it, else estimated and marked so.

Rule: an answer is never recorded as free because nobody said what it cost. A provider that answers well without
saying what was used raises the alarm `zero_usage`: limits and budgets would never move.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec
from django.conf import settings
from msgspec import Struct

from backends.routing import Target
from backends.wire.kinds import Kind
from backends.wire.usage import Usage
from proxyapp.call import ClientCall
from proxyapp.key_estimates import Served, estimate_of, output_sizes, used

logger = logging.getLogger("patchbay.usage")
ZERO_USAGE = "zero_usage"
_SECONDS = 3600.0
_MODELS = 512


@dataclass
class Alarms:
    """Says it once an hour for each backend and model. Bounded; the oldest go first."""

    _said_at: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)

    def raise_for(self, target: Target) -> None:
        """This target has answered without saying what was used."""
        name, now = (target.backend.name, target.model), time.monotonic()
        if now - self._said_at.get(name, -_SECONDS) < _SECONDS:
            return
        self._said_at[name] = now
        self._said_at.move_to_end(name)
        if len(self._said_at) > _MODELS:
            self._said_at.popitem(last=False)
        logger.warning(
            "Backend %s answers for %s without reporting any usage, so tokens and cost are estimates."
            " Check that it reports usage, or set a limit that does not need it.",
            *name,
        )


alarms = Alarms()


def tally(call: ClientCall, target: Target, served: Served) -> Usage | None:
    """Note in the record what an answer has used, and how that is known. What its client key is charged for comes back.

    The two differ only for an answer that was cut or cancelled: PATCHBAY_CUT_USAGE says whether the record holds the
    reported part alone, and a key is charged for an estimate of the rest in either case. Counting tokens uses nothing.
    """
    draft = call.draft
    if call.kind is Kind.COUNT_TOKENS:
        return None
    reported = served.reported
    draft.usage, draft.usage_is_final = reported, served.is_final and reported is not None
    if draft.usage_is_final and reported is not None:
        output_sizes.observe(target, reported.output)
        return reported
    if served.is_complete and reported is None and _should_report(call, is_stream=served.is_stream):
        draft.alarm = ZERO_USAGE
        alarms.raise_for(target)
    is_recorded = served.is_complete or settings.PATCHBAY_CUT_USAGE == "estimate"
    if not is_recorded and call.hold is None:
        return reported
    found = used(estimate_of(call, [target]), served, call.kind)
    if is_recorded:
        draft.usage = found
    return found


class _Options(Struct, gc=False):
    include_usage: bool | None = None


class _Chat(Struct, gc=False):
    stream_options: _Options | None = None


_CHAT = msgspec.json.Decoder(_Chat)


def _should_report(call: ClientCall, *, is_stream: bool) -> bool:
    """Whether usage was due. A chat stream reports it on request only, and no client's request is changed for it."""
    if not is_stream or call.draft.lane != "direct" or call.kind not in (Kind.CHAT, Kind.COMPLETIONS):
        return True
    try:
        options = _CHAT.decode(call.body).stream_options
    except msgspec.ValidationError:  # the upstream took it nevertheless
        return False
    return options is not None and options.include_usage is True
