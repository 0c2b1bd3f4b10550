"""Telling whose configuration a file or a folder is, and reading it with the parser for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from backends.move_in import claude_code_router, dario, dotenv, litellm, own
from backends.move_in.documents import read_json, read_yaml
from backends.move_in.plan import MoveInError, NotTaken, Plan

KNOWN = (
    "a LiteLLM proxy's YAML, a claude-code-router config.json, a dario home folder, a .env file, or an export of"
    " Patchbay"
)
# What is looked for in a folder, and what is read below it.
FOLDER_FILES = (
    *("config.yaml", "config.yml", "litellm_config.yaml", "litellm.yaml", "proxy_server_config.yaml"),
    *("config.json", "credentials.json", ".env", "patchbay.json"),
)
FOLDER_FOLDERS = ("accounts", "backends")
_SQLITE = "SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class Source:
    """What stands at a path. `texts`: files by their name below it; a file alone stands under its own name.

    `names`: every entry of a folder, also what was not read.
    """

    is_folder: bool
    texts: Mapping[str, str] = field(repr=False)
    names: frozenset[str] = frozenset()


def plan_of(source: Source, environ: Mapping[str, str]) -> Plan:
    """The plan of what was read. Raises MoveInError when it is nobody's, or several routers' at once."""
    if not source.is_folder:
        [(name, text)] = source.texts.items()
        return _plan_of_file(name, text, environ)
    if dario.is_dario(source.names, source.texts):
        return dario.parse_dario(source.names, source.texts)
    readers = {}
    for name, text in source.texts.items():
        try:
            reader = _reader(name, text)
        except MoveInError as exc:
            raise MoveInError(f"{name}: {exc}") from None
        if reader is not None:
            readers[name] = reader
    if len(readers) == 1:
        [(name, reader)] = readers.items()
        return _with_newer(reader(environ), source)
    if readers:
        raise MoveInError(f"The folder holds {', '.join(sorted(readers))}. Name the file that is meant.")
    if "config.sqlite" in source.names:
        raise MoveInError(claude_code_router.NEWER)
    raise MoveInError(f"The folder holds no configuration that Patchbay knows: {KNOWN}.")


def _with_newer(plan: Plan, source: Source) -> Plan:
    """claude-code-router 3 leaves the file of version 2 beside its own; what it knows besides is reported."""
    if "config.sqlite" not in source.names:
        return plan
    newer = NotTaken(
        "config.sqlite", "Version 3 keeps its configuration there, and Patchbay does not read it."
    )
    return replace(plan, not_taken=(*plan.not_taken, newer))


def _plan_of_file(name: str, text: str, environ: Mapping[str, str]) -> Plan:
    if text.startswith(_SQLITE):
        raise MoveInError(claude_code_router.NEWER)
    reader = _reader(name, text)
    if reader is None:
        raise MoveInError(f"{name} is no configuration that Patchbay knows: {KNOWN}.")
    return reader(environ)


def _reader(name: str, text: str) -> Callable[[Mapping[str, str]], Plan] | None:
    """Who reads a file: told by its name where that is enough, else by what is in it. None: nobody."""
    lower = name.lower()
    if lower.startswith(".env") or lower.endswith(".env"):
        return lambda environ: dotenv.parse_dotenv(text)
    if lower.endswith((".yaml", ".yml")):
        return _yaml_reader(text)
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "//", "/*")):
        return _json_reader(text)
    if _is_dotenv(text):
        return lambda environ: dotenv.parse_dotenv(text)
    try:
        return _yaml_reader(text)
    except MoveInError:
        return None


def _yaml_reader(text: str) -> Callable[[Mapping[str, str]], Plan] | None:
    document = read_yaml(text)
    if litellm.is_litellm(document.value):
        return lambda environ: litellm.parse_litellm(document, environ)
    return None


def _json_reader(text: str) -> Callable[[Mapping[str, str]], Plan] | None:
    if own.is_own(text):
        return lambda environ: own.parse_own(text)
    document = read_json(text)
    if claude_code_router.is_claude_code_router(document.value):
        return lambda environ: claude_code_router.parse_claude_code_router(document, environ)
    if litellm.is_litellm(document.value):
        return lambda environ: litellm.parse_litellm(document, environ)
    return None


def _is_dotenv(text: str) -> bool:
    try:
        values, _ = dotenv.read_dotenv(text)
    except MoveInError:
        return False
    return bool(values)
