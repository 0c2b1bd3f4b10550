"""Scripts that wait for the next requests, per key or for all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from backends.simulator.journal import Entry
from backends.simulator.script import ScriptError, parse


@dataclass(frozen=True, slots=True)
class _Cue:
    script: str
    key: str | None
    path: str | None


class ScriptQueue:
    """Each cue goes to the first request it fits: by key or OAuth login, and by path (any POST to the API if none)."""

    def __init__(self) -> None:
        self._cues: deque[_Cue] = deque()

    def __len__(self) -> int:
        return len(self._cues)

    def add(self, scripts: Iterable[str], *, key: str | None = None, path: str | None = None) -> None:
        """Append scripts. Raises ScriptError before anything is added if one cannot be understood."""
        if isinstance(scripts, str):
            raise ScriptError("Give a list of scripts, one for each coming request.")
        cues = [_Cue(script, key, path) for script in scripts]
        for cue in cues:
            parse(cue.script)
        self._cues.extend(cues)

    def clear(self) -> None:
        self._cues.clear()

    def take(self, entry: Entry, path: str | None) -> str:
        """The script for this request, "" if none waits for it. A cue for its key goes first."""
        if not self._cues:
            return ""
        fitting = [cue for cue in self._cues if _fits(cue, entry, path)]
        if not fitting:
            return ""
        chosen = next((cue for cue in fitting if cue.key is not None), fitting[0])
        self._cues.remove(chosen)
        return chosen.script

    def connection_fault(self) -> str:
        """`refuse` or `accept-no-read`, if that is next for all keys: it befalls the new connection."""
        if self._cues:
            cue = self._cues[0]
            if cue.key is None and cue.path is None and cue.script in ("refuse", "accept-no-read"):
                self._cues.popleft()
                return cue.script
        return ""


def _fits(cue: _Cue, entry: Entry, path: str | None) -> bool:
    if cue.key is not None and cue.key not in (entry.key, entry.login):
        return False
    if cue.path is not None:
        return cue.path == path
    return entry.method == "POST" and not (path or "").startswith(("/_sim/", "/oauth/"))
