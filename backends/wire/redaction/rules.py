"""Redaction rules, and where in a text they match. In linear time, whatever the pattern and whatever the text.

Matching is RE2's (https://github.com/google/re2/wiki/Syntax), an automaton that never backtracks. Finding all matches
could still be quadratic: after each short match a pattern such as `a(.*b)?` looks for its far end again. So a search
never looks further than `REACH` bytes beyond a match's possible start, except while a match goes on growing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from backends.wire.redaction.checks import CHECKS
from backends.wire.redaction.vault import LABEL, SHAPE

REACH = 1024
LONGEST_PATTERN = 2000
LARGEST_PROGRAM = 2500  # instructions; `\p{L}` alone has 1,200
_MEMORY = 32 * 2**20
_PARTS = 4
_GROUPS = ("(?P<value>", "(?<value>")
# What RE2 takes and we do not: half characters, and quoting that would not end with the pattern.
_REFUSED = {"C": "a single byte of a character", "Q": "quoting up to \\E"}
_CURES = {
    "invalid perl operator": "Look-around cannot be matched in linear time. Match the surroundings too, and put the "
    "part to replace into a group: (?P<value>…).",
    "invalid escape sequence": "Back-references cannot be matched in linear time; the end of the text is written \\z.",
    "invalid repetition size": "Repeat at most 1000 times, in all nested repetitions together.",
    "bad repetition operator": "Repeat once, not twice; there are no possessive repetitions.",
    "invalid character class range": "Write a range from the lower to the higher character.",
    "missing )": "Close the group that begins there.",
    "unexpected )": "Remove it, or open a group before it.",
    "missing ]": "Close the character class that begins there.",
    "no argument for repetition operator": "Put something before it to repeat, or escape it with \\.",
}


class RuleError(ValueError):
    """A rule that cannot be used. `place`: the offset of the fault in the pattern, None if it is the whole rule."""

    def __init__(self, rule: str, message: str, place: int | None = None) -> None:
        super().__init__(message)
        self.rule, self.message, self.place = rule, message, place


@dataclass(frozen=True, slots=True)
class Rule:
    """What to replace. `label` is the type that a placeholder shows: EMAIL, KEY …

    The whole match is replaced, or only its group `(?P<value>…)` if the pattern has one. `check` names a test in
    checks.py that a match has to pass as well; `source` says where the format is documented.
    """

    name: str
    label: str
    pattern: str
    is_enabled: bool = True
    check: str = ""
    source: str = ""


class Match(NamedTuple):
    """Bytes `start` to `end` of a text, and the first rule that wants them replaced."""

    start: int
    end: int
    rule: Rule


Found = tuple[int, int, int, Rule]  # start, end, the rule's place among the rules, the rule


class RuleSet:
    """The enabled rules, compiled. Building one takes milliseconds: keep it as long as the rules stay.

    Raises RuleError for a rule that cannot be used; a disabled rule is not looked at.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        finders = [_Finder(rule, place) for place, rule in enumerate(r for r in rules if r.is_enabled)]
        self._root = _Branch(finders) if finders else None

    def __bool__(self) -> bool:
        return self._root is not None

    def find(self, text: bytes) -> list[Match]:
        """All places to replace in a text (UTF-8), in order. Matches that overlap become one, so nothing is left over.

        A match that is one of our placeholders is none: it was replaced before.
        """
        found = [*self._root.spans(text)] if self._root else []
        return [match for match in merged(found) if not SHAPE.fullmatch(text, match.start, match.end)]


class _Branch:
    """Rules that one search rules out together. Most texts match nothing: for them, the root's search is all."""

    __slots__ = ("_parts", "_search")

    def __init__(self, finders: list[_Finder]) -> None:
        self._search = _any_of(finders)
        size = -(-len(finders) // _PARTS)
        groups = [finders[at : at + size] for at in range(0, len(finders), size)]
        self._parts: list[_Branch | _Finder] = [
            _Branch(group) if len(group) > 1 else group[0] for group in groups
        ]

    def spans(self, text: bytes) -> Iterator[Found]:
        """Each match of each rule."""
        if self._search is None or self._search(text) is not None:
            for part in self._parts:
                yield from part.spans(text)


class _Finder:
    """One rule, ready to search. `order` is its place among the rules: of two that overlap, the earlier one counts."""

    __slots__ = ("_check", "_group", "_search", "order", "rule")

    def __init__(self, rule: Rule, order: int) -> None:
        compiled = check_rule(rule)
        self.rule, self.order = rule, order
        self._search = compiled.search
        self._group: int = compiled.groupindex.get(b"value", 0)
        self._check = CHECKS[rule.check] if rule.check else None

    def spans(self, text: bytes) -> Iterator[Found]:
        """Each match."""
        if self._search(text) is None:
            return
        for start, end, match in _walk(self._search, text):
            if self._group:
                inner = match.span(self._group)
                start, end = inner if inner[0] >= 0 else (start, end)
            for begin, stop in self._check(text, start, end) if self._check else ((start, end),):
                if begin < stop:
                    yield begin, stop, self.order, self.rule


def _walk(search: Callable[..., Any], text: bytes) -> Iterator[tuple[int, int, Any]]:
    """(start, end, match) of all matches, each within reach of its start."""
    at, size = 0, len(text)
    while at < size:
        window = min(size, at + 2 * REACH)
        found = search(text, at, window)
        start, end = found.span() if found is not None else (size, size)
        if window < size and start >= at + REACH:
            at += REACH
            continue
        if found is None:
            return
        while end == window < size:  # it was cut short, or may be
            window = min(size, 2 * window - start)
            found = search(text, start, window)
            end = found.end()
        yield start, end, found
        at = max(end, start + 1)


def merged(found: Iterable[Found]) -> list[Match]:
    """The union of the spans: those that overlap become one, under the rule that comes first among them."""
    matches: list[Match] = []
    first = 0
    for start, end, order, rule in sorted(found, key=lambda span: span[:3]):
        if matches and start < matches[-1].end:
            last = matches.pop()
            if order >= first:
                order, rule = first, last.rule
            start, end = last.start, max(end, last.end)
        matches.append(Match(start, end, rule))
        first = order
    return matches


def _any_of(finders: list[_Finder]) -> Callable[[bytes], Any] | None:
    """A search for a match of any rule; None if that would be too large a pattern."""
    import re2  # type: ignore[import-untyped]  # here and below: most processes never redact, and it takes 15 ms

    joined = "|".join(f"(?:{finder.rule.pattern})" for finder in finders)
    try:
        search: Callable[[bytes], Any] = re2.compile(joined.encode(), _options(never_capture=True)).search
    except re2.error:
        return None
    return search


def _options(*, never_capture: bool = False) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = never_capture
    options.max_mem = _MEMORY
    return options


def check_rule(rule: Rule) -> Any:
    """The compiled pattern. Raises RuleError with the place of the fault and what to do about it."""
    pattern = rule.pattern
    if not rule.name.strip():
        raise RuleError(rule.name, "The rule has no name. Give it one.")
    if not LABEL.fullmatch(rule.label):
        raise RuleError(
            rule.name,
            f"The type {rule.label!r} is not 2 to 16 capital letters or digits. Write it like EMAIL.",
        )
    if not pattern or len(pattern) > LONGEST_PATTERN:
        raise RuleError(
            rule.name, f"The pattern has {len(pattern)} characters. Write 1 to {LONGEST_PATTERN}."
        )
    if rule.check and rule.check not in CHECKS:
        raise RuleError(rule.name, f"There is no check {rule.check!r}. Choose one of {', '.join(CHECKS)}.")
    _refuse_escapes(rule)
    if sum(pattern.count(group) for group in _GROUPS) > 1:
        place = max(pattern.rfind(group) for group in _GROUPS)
        raise _fault(rule, place, "a second group `value`", "Use one, or make two rules.")
    import re2

    try:
        compiled = re2.compile(pattern.encode(), _options())
    except (re2.error, UnicodeEncodeError) as exc:
        raise _unreadable(rule, exc) from None
    if compiled.programsize > LARGEST_PROGRAM:
        size = f"{compiled.programsize} steps, more than {LARGEST_PROGRAM}"
        raise RuleError(
            rule.name, f"The pattern is too large ({size}). Repeat less often, or make two rules."
        )
    if any(_is_empty(compiled.search(probe)) for probe in (b"", b"a", b"a 1")):
        raise RuleError(
            rule.name, "The pattern also matches nothing at all. Make a part of it obligatory: + for *."
        )
    return compiled


def _is_empty(found: Any) -> bool:
    return found is not None and found.start() == found.end()


def _refuse_escapes(rule: Rule) -> None:
    at = rule.pattern.find("\\")
    while at >= 0:
        escaped = rule.pattern[at + 1 : at + 2]
        if escaped in _REFUSED and escaped:
            raise _fault(rule, at, f"\\{escaped}, {_REFUSED[escaped]}", "Write the characters themselves.")
        at = rule.pattern.find("\\", at + 2)


def _unreadable(rule: Rule, exc: Exception) -> RuleError:
    """RE2's complaint (`missing ]: [a`) in words for a person, with its place."""
    if isinstance(exc, UnicodeEncodeError):
        return _fault(rule, exc.start, "half of a surrogate pair", "Remove it.")
    told = exc.args[0].decode("utf-8", "replace") if isinstance(exc.args[0], bytes) else str(exc)
    what, _, piece = told.partition(": ")
    place: int | None = rule.pattern.find(piece) if piece and piece != rule.pattern else None
    if what in ("missing )", "unexpected )"):
        place = _unpaired(rule.pattern)
    elif what.startswith("trailing"):
        place = len(rule.pattern) - 1
    cure = _CURES.get(what, "Correct the pattern.")
    return _fault(rule, None if place is not None and place < 0 else place, what, cure)


def _fault(rule: Rule, place: int | None, what: str, cure: str) -> RuleError:
    where = "" if place is None else f" at character {place + 1}"
    return RuleError(rule.name, f"The pattern has a fault{where}: {what}. {cure}", place)


def _unpaired(pattern: str) -> int:
    """Where a group ends that was never opened, else where the innermost group begins that is never closed."""
    opened: list[int] = []
    in_class = False
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char == "(":
            opened.append(at)
        elif char == ")" and not opened:
            return at
        elif char == ")":
            opened.pop()
        at += 1
    return opened[-1] if opened else 0
