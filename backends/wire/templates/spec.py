"""What a request template says, in the form that is applied, and in the one spelling in which it is stored.

A template is written by the operator. Patchbay brings none of its own, and refuses what would make a request pass for
another product's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

Json = object
Named = tuple[tuple[str, Json], ...]
_BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True)
class SystemRule:
    """What comes before and behind the client's system prompt, or in its place (`replace`; "" for nothing at all)."""

    prepend: str = ""
    append: str = ""
    replace: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""
        return not self.prepend and not self.append and self.replace is None

    @property
    def alone(self) -> str:
        """The whole prompt where the client has none."""
        if self.replace is not None:
            return self.replace
        return _BETWEEN.join(text for text in (self.prepend, self.append) if text)

    @property
    def only_prepend(self) -> SystemRule:
        """Its first half."""
        return SystemRule(prepend=self.prepend)

    @property
    def only_append(self) -> SystemRule:
        """Its second half."""
        return SystemRule(append=self.append)

    def as_json(self) -> dict[str, Json]:
        """As stored."""
        texts = {"prepend": self.prepend, "append": self.append}
        found: dict[str, Json] = {name: text for name, text in texts.items() if text}
        return found if self.replace is None else {"replace": self.replace}


@dataclass(frozen=True, slots=True)
class NewTool:
    """A tool that is added. `parameters`: the JSON Schema of its input, an object's."""

    name: str
    description: str
    parameters: Mapping[str, Json]

    def as_json(self) -> dict[str, Json]:
        """As stored."""
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, **described, "parameters": dict(self.parameters)}


@dataclass(frozen=True, slots=True)
class BetaRule:
    """Which values of `anthropic-beta` pass: only those of `allow` (None: all), none of `deny`; `add` come on top."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    add: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""
        return self.allow is None and not self.deny and not self.add

    def passes(self, beta: str) -> bool:
        """Whether a client's value goes on. What belongs to a login (`oauth-…`) always does."""
        if beta.startswith("oauth-"):
            return True
        if self.allow is not None:
            return any(fnmatchcase(beta, glob) for glob in self.allow)
        return not any(fnmatchcase(beta, glob) for glob in self.deny)

    def as_json(self) -> dict[str, Json]:
        """As stored."""
        found: dict[str, Json] = {} if self.allow is None else {"allow": list(self.allow)}
        lists = {"deny": list(self.deny), "add": list(self.add)}
        return found | {name: values for name, values in lists.items() if values}


@dataclass(frozen=True, slots=True)
class Template:
    """One request template. Immutable; the same template changes the same request in the same way."""

    system: SystemRule = SystemRule()
    default: Named = ()
    force: Named = ()
    tools: tuple[NewTool, ...] = ()
    replace_tools: bool = False
    rename_tools: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    headers: tuple[tuple[str, str], ...] = ()
    beta: BetaRule = BetaRule()

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing, whatever the request."""
        return self == _EMPTY

    def keeping_tools(self) -> Template:
        """The same for an operator who asked to keep the clients' tools: none is replaced or renamed; adding stays."""
        return replace(self, replace_tools=False, rename_tools=MappingProxyType({}))

    def as_json(self) -> dict[str, Json]:
        """The template as it is stored and exported: one spelling, nothing that is empty."""
        parameters: dict[str, Json] = {
            name: dict(values)
            for name, values in (("default", self.default), ("force", self.force))
            if values
        }
        parts: dict[str, Json] = {
            "system": self.system.as_json(),
            "parameters": parameters,
            "tools": [tool.as_json() for tool in self.tools],
            "replace_tools": self.replace_tools,
            "rename_tools": dict(self.rename_tools),
            "headers": dict(self.headers),
            "beta": self.beta.as_json(),
        }
        return {name: part for name, part in parts.items() if part}


_EMPTY = Template()
