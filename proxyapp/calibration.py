"""How many characters a token has, by backend and model: learnt from the usage that real requests reported."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from backends.routing import Target
from backends.wire.conversation import Conversation
from backends.wire.estimate import CHARACTERS_PER_TOKEN, TOKENS_PER_TURN, count_characters, count_media

_MODELS = 512
_WEIGHT = 0.2  # of the newest observation
_PLAUSIBLE = (1.5, 8.0)


@dataclass
class Calibration:
    """Characters per token, by backend and model, learnt from real usage. Bounded; the oldest go first."""

    _learnt: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)

    def observe(self, target: Target, talk: Conversation, input_tokens: int) -> None:
        """A backend reported `input_tokens` for `talk`. What is too short or absurd teaches nothing."""
        fixed = TOKENS_PER_TURN * (len(talk.turns) + bool(talk.system))
        characters, tokens = count_characters(talk), input_tokens - fixed
        if tokens < 50 or count_media(talk) or not _PLAUSIBLE[0] <= characters / tokens <= _PLAUSIBLE[1]:
            return
        name = (target.backend.name, target.model)
        before = self._learnt.pop(name, characters / tokens)
        self._learnt[name] = before + _WEIGHT * (characters / tokens - before)
        if len(self._learnt) > _MODELS:
            self._learnt.popitem(last=False)

    def characters_per_token(self, target: Target) -> float:
        """What was learnt, else the usual ratio."""
        return self._learnt.get((target.backend.name, target.model), CHARACTERS_PER_TOKEN)


calibration = Calibration()
