"""The tools that `connect` knows, by the name it takes."""

from __future__ import annotations

from proxyapp.connect import (
    aider,
    claude_code,
    codex,
    continue_dev,
    cursor,
    llm,
    opencode,
    shell,
    zed,
)
from proxyapp.connect.parts import Tool

TOOLS: dict[str, Tool] = {
    module.TOOL.name: module.TOOL
    for module in (claude_code, codex, cursor, continue_dev, aider, opencode, llm, zed, shell)
}
