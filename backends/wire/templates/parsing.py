"""Reading a template that somebody wrote: strictly, since a misspelt field would be a rule that is silently missing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from backends.wire.templates.fields import EFFORTS, beta_problem, header_problem, parameter_problem
from backends.wire.templates.spec import BetaRule, Json, Named, NewTool, SystemRule, Template

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_ENTRIES = 200
MAX_HEADER = 1000
_MAX_INT = 2**63
_TOOL = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_PARAMETER = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64})?")
_BETA = re.compile(r"[A-Za-z0-9._-]{1,100}")
_BETA_GLOB = re.compile(r"[A-Za-z0-9._*?-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class BadTemplate(ValueError):
    """A template that cannot be used. `path`: where, as in `$.system.prepend`; the text says what to write."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path


def parse_spec(given: Json) -> Template:
    """The template that `given` (JSON as Python has it) describes. Raises BadTemplate."""
    names = ("system", "parameters", "tools", "replace_tools", "rename_tools", "headers", "beta")
    fields = _object(given, "$", names)
    _check_json(given)
    default, force = _parameters(fields.get("parameters"))
    tools = tuple(
        _tool(tool, f"$.tools[{at}]") for at, tool in enumerate(_list(fields.get("tools"), "$.tools"))
    )
    template = Template(
        system=_system(fields.get("system")),
        default=default,
        force=force,
        tools=tools,
        replace_tools=_flag(fields.get("replace_tools"), "$.replace_tools"),
        rename_tools=_renames(fields.get("rename_tools")),
        headers=_headers(fields.get("headers")),
        beta=_beta(fields.get("beta")),
    )
    _check_tool_names(template)
    return template


# --- parts -----------------------------------------------------------------------------------------------------------


def _system(given: Json) -> SystemRule:
    fields = _object(given, "$.system", ("prepend", "append", "replace"))
    texts = {name: _text(value, f"$.system.{name}") for name, value in fields.items() if value is not None}
    rule = SystemRule(texts.get("prepend", ""), texts.get("append", ""), texts.get("replace"))
    if rule.replace is not None and (rule.prepend or rule.append):
        raise BadTemplate("$.system", "Write all of the prompt into `replace`, or leave `replace` out.")
    return rule


def _parameters(given: Json) -> tuple[Named, Named]:
    fields = _object(given, "$.parameters", ("default", "force"))
    default = _settings(fields.get("default"), "$.parameters.default", is_forced=False)
    force = _settings(fields.get("force"), "$.parameters.force", is_forced=True)
    if twice := dict(default).keys() & dict(force).keys():
        raise BadTemplate(
            f"$.parameters.default.{min(twice)}", "It is forced as well. Write it in one place."
        )
    _check_parts({*dict(default), *dict(force)})
    return default, force


def _check_parts(names: set[str]) -> None:
    """An object and a part of it cannot both be set."""
    parts = {name for name in names if "." in name}
    if "reasoning_effort" in names:
        parts.add("reasoning.effort")  # what it is called where there is such an object
    for part in sorted(parts):
        parent = part.partition(".")[0]
        if parent in names:
            text = f"`{parent}` is set, and so is {part}, which is a part of it. Write each part by its own name."
            raise BadTemplate("$.parameters", text)


def _settings(given: Json, path: str, *, is_forced: bool) -> Named:
    found = _object(given, path)
    for name, value in found.items():
        where = f"{path}.{name}"
        if not _PARAMETER.fullmatch(name):
            raise BadTemplate(
                where, "This is no parameter's name. Write one such as temperature or text.verbosity."
            )
        if problem := parameter_problem(name):
            raise BadTemplate(where, problem)
        if value is None and not is_forced:
            raise BadTemplate(
                where, "A default needs a value. To take a parameter out, write null under `force`."
            )
        if value is not None:
            _check_value(name, value, where)
    return tuple(found.items())


def _check_value(name: str, value: Json, path: str) -> None:
    """The parameters whose values mean the same everywhere."""
    if name == "max_tokens" and not (_is_whole(value) and _at_least(value, 1)):
        raise BadTemplate(path, "Write a whole number of tokens, 1 or more.")
    if name == "top_k" and not (_is_whole(value) and _at_least(value, 0)):
        raise BadTemplate(path, "Write a whole number, 0 or more.")
    if name in ("temperature", "top_p"):
        most = 2 if name == "temperature" else 1
        if not (_is_number(value) and _at_least(value, 0) and not _at_least(value, most + 1e-9)):
            raise BadTemplate(path, f"Write a number from 0 to {most}.")
    if name == "stop" and not (isinstance(value, str) or _is_texts(value)):
        raise BadTemplate(path, 'Write a text or a list of texts, such as ["END"].')
    if name == "reasoning_effort" and value not in EFFORTS:
        raise BadTemplate(path, f"Write one of {', '.join(EFFORTS)}.")


def _tool(given: Json, path: str) -> NewTool:
    fields = _object(given, path, ("name", "description", "parameters"))
    name = _tool_name(fields.get("name"), f"{path}.name")
    description = _text(fields.get("description") or "", f"{path}.description")
    schema = fields.get("parameters")
    if schema is None:
        schema = {}
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        text = 'Write a JSON Schema of the type object, such as {"type": "object", "properties": {…}}.'
        raise BadTemplate(f"{path}.parameters", text)
    return NewTool(name, description, MappingProxyType({"type": "object", "properties": {}, **schema}))


def _renames(given: Json) -> Mapping[str, str]:
    fields = _object(given, "$.rename_tools")
    clients: dict[str, str] = {}
    for client, upstream in fields.items():
        path = f"$.rename_tools.{client}"
        _tool_name(client, path)
        name = _tool_name(upstream, path)
        if name in clients:
            raise BadTemplate(
                path, f"{clients[name]} becomes {name} as well. Give each tool a name of its own."
            )
        if name == client:
            raise BadTemplate(path, "This is its name already. Leave it out.")
        clients[name] = client
    return MappingProxyType({client: upstream for upstream, client in clients.items()})


def _headers(given: Json) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for spelled, value in _object(given, "$.headers").items():
        name, path = spelled.lower(), f"$.headers.{spelled}"
        if problem := header_problem(name):
            raise BadTemplate(path, problem)
        if name in found:
            raise BadTemplate(path, "It stands here twice. Write it once.")
        text = _text(value, path)
        if len(text) > MAX_HEADER or not _HEADER_VALUE.fullmatch(text):
            raise BadTemplate(
                path, f"Write 1 to {MAX_HEADER} plain ASCII characters, without spaces at the ends."
            )
        found[name] = text
    return tuple(found.items())


def _beta(given: Json) -> BetaRule:
    fields = _object(given, "$.beta", ("allow", "deny", "add"))
    if fields.get("allow") is not None and fields.get("deny"):
        raise BadTemplate("$.beta", "Write `allow` or `deny`, not both.")
    allow = None if fields.get("allow") is None else _betas(fields, "allow", _BETA_GLOB)
    add = _betas(fields, "add", _BETA)
    for at, beta in enumerate(add):
        if problem := beta_problem(beta):
            raise BadTemplate(f"$.beta.add[{at}]", problem)
    return BetaRule(allow, _betas(fields, "deny", _BETA_GLOB), add)


def _betas(fields: Mapping[str, Json], name: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = []
    for at, value in enumerate(_list(fields.get(name), f"$.beta.{name}")):
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise BadTemplate(f"$.beta.{name}[{at}]", "Write a value such as context-1m-2025-08-07.")
        found.append(value)
    return tuple(dict.fromkeys(found))


def _check_tool_names(template: Template) -> None:
    """Names of the template's own tools: each once, and not that of a renamed tool beside it."""
    seen: set[str] = set()
    for at, tool in enumerate(template.tools):
        if tool.name in seen:
            raise BadTemplate(
                f"$.tools[{at}].name", f"{tool.name} stands here twice. Give each tool its own name."
            )
        seen.add(tool.name)
        if not template.replace_tools and tool.name in template.rename_tools.values():
            text = f"A client's tool is renamed to {tool.name} as well. Choose another name for one of them."
            raise BadTemplate(f"$.tools[{at}].name", text)


# --- values ----------------------------------------------------------------------------------------------------------


def _object(given: Json, path: str, names: tuple[str, ...] = ()) -> dict[str, Json]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadTemplate(path, "Write an object: {…}.")
    for name in given:
        if names and name not in names:
            raise BadTemplate(
                f"{path}.{name}", f"There is no such field. The fields here are {', '.join(names)}."
            )
    if len(given) > MAX_ENTRIES:
        raise BadTemplate(path, f"At most {MAX_ENTRIES} entries can stand here.")
    return given


def _list(given: Json, path: str) -> list[Json]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise BadTemplate(path, "Write a list: […].")
    if len(given) > MAX_ENTRIES:
        raise BadTemplate(path, f"At most {MAX_ENTRIES} entries can stand here.")
    return given


def _text(given: Json, path: str) -> str:
    if not isinstance(given, str):
        raise BadTemplate(path, 'Write a text: "…".')
    return given


def _flag(given: Json, path: str) -> bool:
    if given is not None and not isinstance(given, bool):
        raise BadTemplate(path, "Write true or false.")
    return bool(given)


def _tool_name(given: Json, path: str) -> str:
    if not isinstance(given, str) or not _TOOL.fullmatch(given):
        raise BadTemplate(path, "Write a tool's name: 1 to 128 letters, digits, `_`, `-`, `.` or `:`.")
    return given


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at_least(value: Json, least: float) -> bool:
    return isinstance(value, int | float) and value >= least


def _is_texts(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _check_json(given: Json) -> None:
    """What can be stored, and sent, as JSON. Raises BadTemplate."""
    _check_node(given, "$", 0)
    size = len(json.dumps(given, ensure_ascii=False).encode())
    if size > MAX_BYTES:
        raise BadTemplate("$", f"The template has {size:,} bytes; {MAX_BYTES:,} is the most. Shorten it.")


def _check_node(node: Json, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadTemplate(path, f"It nests deeper than {MAX_DEPTH} levels. Flatten it.")
    if isinstance(node, str):
        _check_text(node, path)
    elif isinstance(node, dict):
        for name, value in node.items():
            _check_text(name, path)
            _check_node(value, f"{path}.{name}", depth + 1)
    elif isinstance(node, list):
        for at, value in enumerate(node):
            _check_node(value, f"{path}[{at}]", depth + 1)
    elif isinstance(node, float) and not math.isfinite(node):
        raise BadTemplate(path, "Write a finite number.")
    elif _is_whole(node) and not -_MAX_INT <= node < _MAX_INT:  # type: ignore[operator]  # it is an int
        raise BadTemplate(path, "The number is too large. Write one of at most 18 digits.")


def _check_text(text: str, path: str) -> None:
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise BadTemplate(path, "The text holds a NUL or half a character. Remove it.")
