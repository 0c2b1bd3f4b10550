"""Token counts for backends that do not count: an estimate, marked as one."""

from __future__ import annotations

from django.http import HttpResponse, JsonResponse

from backends.routing import Target
from backends.wire.estimate import estimate_tokens
from proxyapp.calibration import calibration
from proxyapp.call import ClientCall
from proxyapp.lanes import conversation


def estimated_count(call: ClientCall, target: Target) -> HttpResponse:
    """The answer to a count_tokens request whose backend cannot count."""
    tokens = estimate_tokens(conversation(call), calibration.characters_per_token(target))
    response = JsonResponse({"input_tokens": tokens})
    response["x-patchbay-estimated"] = "input_tokens"
    return response
