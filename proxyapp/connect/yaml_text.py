"""Edits in YAML that leave every other byte of the text as it is: comments, order, quoting.

The text is read by PyYAML, which says where each value stands; what changes is spliced in there. The result is read
again, and an edit that would say something else than was meant is refused.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence

import yaml

from proxyapp.connect.parts import UNKNOWN_FORMAT, UNSAFE_TO_EDIT, ConnectError

Pairs = Mapping[str, object]


def load(text: str) -> object:
    """What the text says; None for an empty one. Raises ConnectError that says where it is wrong."""
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConnectError(
            f"it is no valid YAML: {where}{exc.problem or exc.context}. Nothing was changed."
        ) from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ConnectError(f"it is no valid YAML: {type(exc).__name__}. Nothing was changed.") from exc


def put(text: str, pairs: Pairs) -> str:
    """`text`, a mapping, with simple values set at its top. Raises ConnectError."""
    before = load(text)
    if before is not None and not isinstance(before, dict):
        raise ConnectError(f"it is no mapping. {UNKNOWN_FORMAT}")
    changed = text
    for key, value in pairs.items():
        changed = _put_in(changed, _compose(changed), key, value)
    return _checked(changed, {**(before or {}), **pairs})


def merge_items(text: str, key: str, identity: str, items: Sequence[Pairs]) -> str:
    """`text` with these mappings in the list under `key`; key "": the text is the list. Raises ConnectError.

    An item whose value of `identity` is there already gets the other values set in place; the rest is appended.
    """
    expected = _merged(load(text), key, identity, items)
    for item in items:
        listed = _list_node(text, key)
        known = _find(listed, identity, item[identity])
        if known is None:
            text = _append(text, key, item)
            continue
        for name, value in item.items():
            node = _find(_list_node(text, key), identity, item[identity])
            text = _put_in(text, node, name, value)
    return _checked(text, expected)


def _merged(before: object, key: str, identity: str, items: Sequence[Pairs]) -> object:
    """What `merge_items` is to say in the end."""
    after = copy.deepcopy(before)
    if key:
        if after is not None and not isinstance(after, dict):
            raise ConnectError(f"it is no mapping. {UNKNOWN_FORMAT}")
        after = after or {}
        listed = after[key] = after.get(key) or []
    else:
        listed = after = after or []
    if not isinstance(listed, list):
        raise ConnectError(f"{key or 'the whole'} is no list. {UNKNOWN_FORMAT}")
    for item in items:
        known = [old for old in listed if isinstance(old, dict) and old.get(identity) == item[identity]]
        if known:
            known[0].update(item)
        else:
            listed.append(dict(item))
    return after


def _checked(text: str, expected: object) -> str:
    try:
        if load(text) == expected:
            return text
    except ConnectError:
        pass
    raise ConnectError(UNSAFE_TO_EDIT)


# --- nodes ---------------------------------------------------------------------------------------------------------


def _compose(text: str) -> yaml.Node | None:
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return node


def _list_node(text: str, key: str) -> yaml.Node | None:
    root = _compose(text)
    return root if not key else _value_of(root, key)


def _value_of(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _find(listed: yaml.Node | None, identity: str, wanted: object) -> yaml.Node | None:
    if not isinstance(listed, yaml.SequenceNode):
        return None
    for item in listed.value:
        value = _value_of(item, identity)
        if value is not None and value.value == wanted:
            return item  # type: ignore[no-any-return]
    return None


def _last_index(node: yaml.Node) -> int:
    """Where the node's own text ends. A block's own mark stands only at the next token, behind comments."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _last_index(last[1] if isinstance(last, tuple) else last)


# --- splices -------------------------------------------------------------------------------------------------------


def _put_in(text: str, node: yaml.Node | None, key: str, value: object) -> str:
    """`text` with one pair set in the mapping `node`; None: the text has none yet."""
    if node is None:
        return _at_the_end(text, _block({key: value}, 0))
    old = _value_of(node, key)
    if old is not None:
        start, end = old.start_mark.index, _last_index(old)
        if yaml.safe_load(text[start:end] or "null") == value:
            return text
        space = "" if text[start - 1 : start] in (" ", "\n") else " "
        return text[:start] + space + _inline(value) + text[end:]
    if isinstance(node, yaml.CollectionNode) and node.flow_style:
        closing = node.end_mark.index - 1
        comma = ", " if node.value else ""
        return text[:closing].rstrip(" ") + f"{comma}{json.dumps(key)}: {json.dumps(value)}" + text[closing:]
    return _behind(text, _last_index(node), _block({key: value}, node.start_mark.column))


def _append(text: str, key: str, item: Pairs) -> str:
    """`text` with `item` at the end of the list."""
    listed, root = _list_node(text, key), _compose(text)
    if listed is None and isinstance(root, yaml.CollectionNode) and root.flow_style:
        return _put_in(text, root, key, [item])
    if listed is None:
        return _at_the_end(text, (f"{key}:\n" if key else "") + _item(item, 2 if key else 0))
    if isinstance(listed, yaml.SequenceNode) and not listed.flow_style:
        return _behind(text, _last_index(listed), _item(item, listed.start_mark.column))
    if isinstance(listed, yaml.SequenceNode) and listed.value:
        closing = listed.end_mark.index - 1
        return text[:closing].rstrip(" ") + f", {json.dumps(item)}" + text[closing:]
    # An empty list, or nothing at all behind the colon.
    start, end = listed.start_mark.index, listed.end_mark.index
    return (
        text[:start].rstrip(" ")
        + ("\n" if key else "")
        + _item(item, 2 if key else 0).rstrip("\n")
        + text[end:]
    )


def _at_the_end(text: str, added: str) -> str:
    return text + ("" if not text or text.endswith("\n") else "\n") + added


def _behind(text: str, index: int, added: str) -> str:
    """Whole lines, behind the line in which the text before `index` ends."""
    if index and text[index - 1] == "\n":
        return text[:index] + added + text[index:]
    newline = text.find("\n", index)
    if newline < 0:
        return text + "\n" + added
    return text[: newline + 1] + added + text[newline + 1 :]


# --- writing -------------------------------------------------------------------------------------------------------


def _item(item: Pairs, column: int) -> str:
    lines = _block(item, column + 2)
    return " " * column + "- " + lines[column + 2 :]


def _block(pairs: Pairs, column: int) -> str:
    return "".join(f"{' ' * column}{key}: {_inline(value)}\n" for key, value in pairs.items())


def _inline(value: object) -> str:
    """On one line: plain where that says the same, else as JSON, which is YAML too."""
    if isinstance(value, str) and value and _is_plain(value):
        return value
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    try:
        return bool(yaml.safe_load(f"a: {text}\n") == {"a": text} and yaml.safe_load(f"[{text}]") == [text])
    except (yaml.YAMLError, ValueError):
        return False
