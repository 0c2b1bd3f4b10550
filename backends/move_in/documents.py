"""Reading YAML and JSON that somebody else wrote: bounded, without tags, and with the place of every setting.

Rule: size, depth and number of nodes are checked before anything is built, so that an alias bomb or a deep nest
costs nothing; an error names a line, never the text on it, which may be a key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from backends.move_in.plan import Draft, MoveInError

MAX_BYTES = 2**20
MAX_DEPTH = 60
MAX_NODES = 100_000
Path = tuple[str | int, ...]

# libyaml's binding where it was built, else the same in Python: both know only the plain types.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `lines` is empty for JSON, where the path alone is the place."""

    value: object = field(repr=False)
    lines: Mapping[Path, int] = field(default_factory=dict)
    repeated: tuple[Path, ...] = ()

    def where(self, path: Path) -> str:
        """`line 12: model_list[0].litellm_params.rpm`; without a line for JSON."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return f"line {self.lines[path[:end]]}: {path_text(path)}"
        return path_text(path)

    def mapping(self, path: Path, draft: Draft) -> dict[str, object]:
        """The mapping at `path`, with keys as text; empty if absent. What is there but no mapping is reported."""
        found = at(self.value, path)
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items()}
        if found is not None:
            draft.skip(self.where(path), "It is no mapping of settings. Check its indentation.")
        return {}

    def items(self, path: Path, draft: Draft) -> list[object]:
        """The list at `path`; empty if absent. What is there but no list is reported."""
        found = at(self.value, path)
        if found is not None and not isinstance(found, list):
            draft.skip(self.where(path), "It is no list. Write one entry a line, each after a hyphen.")
        return found if isinstance(found, list) else []


def at(value: object, path: Path) -> object:
    """What stands at `path`, or None."""
    for part in path:
        if isinstance(value, dict):
            value = next((found for key, found in value.items() if str(key) == part), None)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def leaves(value: object, path: Path = ()) -> Iterator[Path]:
    """The path of every setting: of all that is no mapping. An empty mapping sets nothing; a list is one setting."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif path:
        yield path


def path_text(path: Path) -> str:
    """`model_list[0].litellm_params.rpm`. Long keys are cut."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part[:100]}"
    return text


# --- YAML -------------------------------------------------------------------------------------------------------


def read_yaml(text: str) -> Document:
    """One YAML document. Raises MoveInError."""
    _check_size(text)
    try:
        _check_events(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Document(None)
            _check_expanded(node)
            lines: dict[Path, int] = {}
            repeated: list[Path] = []
            _note_lines(node, (), lines, repeated)
            return Document(loader.construct_document(node), lines, tuple(repeated))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = f"line {min(mark.line, text.count(chr(10))) + 1}: " if mark else ""
        raise MoveInError(
            f"The YAML cannot be read: {line}{exc.problem}. Correct it and try again."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise MoveInError("The YAML cannot be read. Check that it is plain text.") from exc


def _check_events(text: str) -> None:
    """Depth and number, from the parser's events: nothing is built yet."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise MoveInError(f"The YAML is nested more than {MAX_DEPTH} deep. It is no configuration.")
        if count > 2 * MAX_NODES:
            raise MoveInError("The YAML holds too many values. It is no configuration.")


def _check_expanded(root: yaml.Node) -> None:
    """An alias counts as often as it is used, so a bomb is seen before it goes off."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in open_nodes:
            raise MoveInError("The YAML has an alias that contains itself. Write it out.")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            sizes[id(node)] = 1 + sum(size(inner) for inner in _inner(node))
            open_nodes.discard(id(node))
        return sizes[id(node)]

    if size(root) > MAX_NODES:
        raise MoveInError("The YAML, its aliases unfolded, holds too many values. It is no configuration.")


def _inner(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _note_lines(node: yaml.Node, path: Path, lines: dict[Path, int], repeated: list[Path]) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, inner in enumerate(node.value):
            lines[(*path, index)] = inner.start_mark.line + 1
            _note_lines(inner, (*path, index), lines, repeated)
    elif isinstance(node, yaml.MappingNode):
        for key, inner in node.value:
            here = (*path, str(key.value) if isinstance(key, yaml.ScalarNode) else "?")
            if here in lines and here[-1] != "<<":
                repeated.append(here)
            lines[here] = key.start_mark.line + 1
            _note_lines(inner, here, lines, repeated)


# --- JSON -------------------------------------------------------------------------------------------------------


def read_json(text: str) -> Document:
    """JSON in which comments and trailing commas are fine. Raises MoveInError."""
    _check_size(text)
    try:
        return Document(json.loads(plain_json(text), parse_constant=_no_constant))
    except json.JSONDecodeError as exc:
        raise MoveInError(
            f"The JSON cannot be read: line {exc.lineno}: {exc.msg}. Correct it and try again."
        ) from None
    except RecursionError:
        raise MoveInError("The JSON is nested too deep. It is no configuration.") from None
    except ValueError as exc:
        raise MoveInError(
            f"The JSON cannot be read: it holds a number that is none ({exc.__class__.__name__})."
        ) from None


def plain_json(text: str) -> str:
    """The same without comments and trailing commas, on the same lines. One pass."""
    out: list[str] = []
    comma = -1  # the place in `out` of a comma after which only blanks and comments came
    position = 0
    while position < len(text):
        char = text[position]
        end = _token_end(text, position)
        token = text[position:end]
        if token.startswith(("//", "/*")):
            token = "\n" * token.count("\n") or " "
        elif char in "]}" and comma >= 0:
            out[comma] = ""
        if char == ",":
            comma = len(out)
        elif not token.isspace():
            comma = -1
        out.append(token)
        position = end
    return "".join(out)


def _token_end(text: str, start: int) -> int:
    """Where the string, comment or character that begins at `start` ends."""
    if text[start] == '"':
        return _string_end(text, start)
    if text.startswith("//", start):
        found = text.find("\n", start)
    elif text.startswith("/*", start):
        found = text.find("*/", start + 2)
        found = found + 2 if found >= 0 else -1
    else:
        return start + 1
    return found if found >= 0 else len(text)


def _string_end(text: str, start: int) -> int:
    position = start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text[position] == '"':
            return position + 1
        else:
            position += 1
    return len(text)


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _check_size(text: str) -> None:
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise MoveInError("The file is larger than 1 MiB. It is no configuration of a router.")
