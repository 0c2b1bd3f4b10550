"""Request templates: what an operator puts into the requests of a route, as pure functions over bytes.

`parse_spec` reads a template, `apply` puts it into a request, `ToolNames` gives an answer the client's names back.
"""

from __future__ import annotations

from backends.wire.templates.apply import Applied, apply
from backends.wire.templates.names import NameStream, ToolNames
from backends.wire.templates.parsing import BadTemplate, parse_spec
from backends.wire.templates.spec import Template
from backends.wire.templates.tools import NameClash

__all__ = [
    "Applied",
    "BadTemplate",
    "NameClash",
    "NameStream",
    "Template",
    "ToolNames",
    "apply",
    "parse_spec",
]
