"""Requests of every kind that hold one address wherever content may stand, and another one wherever it may not."""

from __future__ import annotations

import json
from typing import Any

from backends.wire.kinds import Kind

OUT = "away" + "@example.com"  # stands where it has to be replaced
KEPT = "kept" + "@example.com"  # stands where nothing may change

BODIES: dict[Kind, dict[str, Any]] = {
    Kind.MESSAGES: {
        "model": KEPT,
        "metadata": {"user_id": KEPT},
        "system": [
            {"type": "text", "text": f"Write to {OUT}.", "cache_control": {"type": "ephemeral", "x": KEPT}}
        ],
        "stop_sequences": [OUT],
        "mcp_servers": [{"url": KEPT, "authorization_token": KEPT}],
        "container": KEPT,
        "messages": [
            {"role": "user", "content": OUT},
            {"role": "system", "content": OUT},
            {
                "role": "user",
                "content": [
                    {
                        "type": "text",
                        "text": OUT,
                        "citations": [{"cited_text": OUT, "encrypted_index": KEPT}],
                    },
                    {"type": "image", "source": {"type": "base64", "media_type": KEPT, "data": KEPT}},
                    {"type": "image", "source": {"type": "url", "url": KEPT}},
                    {
                        "type": "document",
                        "source": {"data": OUT, "type": "text"},
                        "title": OUT,
                        "context": OUT,
                    },
                    {
                        "type": "document",
                        "source": {"type": "content", "content": [{"type": "text", "text": OUT}]},
                    },
                    {
                        "type": "search_result",
                        "source": OUT,
                        "title": OUT,
                        "content": [{"type": "text", "text": OUT}],
                    },
                    {"type": "container_upload", "file_id": KEPT},
                    {"type": "not_known_yet", "id": KEPT, "words": [{"said": OUT}]},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": KEPT, "signature": "sig"},
                    {"type": "thinking", "thinking": OUT, "signature": ""},
                    {"type": "redacted_thinking", "data": KEPT},
                    {
                        "type": "tool_use",
                        "id": KEPT,
                        "name": KEPT,
                        "input": {"id": OUT, "a": [{OUT: {"name": OUT}}]},
                    },
                    {"type": "server_tool_use", "id": KEPT, "name": KEPT, "input": {"query": OUT}},
                    {
                        "type": "web_search_tool_result",
                        "tool_use_id": KEPT,
                        "content": [{"type": "web_search_result", "url": KEPT, "encrypted_content": KEPT}],
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": KEPT, "content": OUT},
                    {"type": "tool_result", "tool_use_id": KEPT, "content": [{"type": "text", "text": OUT}]},
                ],
            },
        ],
        "tools": [
            {
                "name": KEPT,
                "description": OUT,
                "input_schema": {"properties": {KEPT: {"enum": [OUT], "pattern": KEPT}}},
            },
            {"type": "custom", "name": KEPT, "input_examples": [{"to": OUT}]},
        ],
        "output_config": {"format": {"type": "json_schema", "schema": {"description": OUT, "title": KEPT}}},
    },
    Kind.CHAT: {
        "model": KEPT,
        "user": KEPT,
        "prompt_cache_key": KEPT,
        "metadata": {"who": OUT},
        "stop": OUT,
        "prediction": {"type": "content", "content": OUT},
        "messages": [
            {"role": "developer", "content": OUT},
            {"role": "user", "name": KEPT, "content": [{"type": "text", "text": OUT}]},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": KEPT, "detail": "auto"}}],
            },
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": KEPT, "format": "wav"}}],
            },
            {"role": "user", "content": [{"type": "file", "file": {"file_data": KEPT, "filename": OUT}}]},
            {
                "role": "assistant",
                "content": None,
                "refusal": OUT,
                "reasoning_content": OUT,
                "reasoning_details": [
                    {"type": "reasoning.text", "text": KEPT, "signature": "s"},
                    {"type": "reasoning.encrypted", "data": KEPT},
                    {"type": "reasoning.text", "text": OUT},
                ],
                "tool_calls": [
                    {
                        "id": KEPT,
                        "type": "function",
                        "function": {"name": KEPT, "arguments": json.dumps({OUT: [OUT]})},
                    },
                    {
                        "id": KEPT,
                        "type": "function",
                        "function": {"name": KEPT, "arguments": f'{{"cut": "{OUT}'},
                    },
                    {"id": KEPT, "type": "custom", "custom": {"name": KEPT, "input": OUT}},
                    {"id": KEPT, "extra_content": {"google": {"thought_signature": KEPT}}},
                ],
                "function_call": {"name": KEPT, "arguments": {"already": OUT}},
            },
            {"role": "tool", "tool_call_id": KEPT, "content": OUT},
        ],
        "tools": [{"type": "function", "function": {"name": KEPT, "description": OUT}}],
        "functions": [{"name": KEPT, "description": OUT}],
        "response_format": {"json_schema": {"name": KEPT, "description": OUT, "schema": {"const": OUT}}},
    },
    Kind.RESPONSES: {
        "model": KEPT,
        "instructions": OUT,
        "previous_response_id": KEPT,
        "conversation": {"id": KEPT},
        "safety_identifier": KEPT,
        "metadata": {"who": OUT},
        "prompt": {"id": KEPT, "variables": {"name": OUT, "file": {"type": "input_file", "file_data": KEPT}}},
        "input": [
            {"role": "user", "content": OUT},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": OUT}], "id": KEPT},
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": KEPT}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": OUT}]},
            {
                "type": "reasoning",
                "id": KEPT,
                "summary": [{"type": "summary_text", "text": KEPT}],
                "encrypted_content": "x",
            },
            {"type": "reasoning", "id": KEPT, "summary": [{"type": "summary_text", "text": OUT}]},
            {"type": "function_call", "call_id": KEPT, "name": KEPT, "arguments": json.dumps({"to": OUT})},
            {"type": "function_call_output", "call_id": KEPT, "output": OUT},
            {
                "type": "function_call_output",
                "call_id": KEPT,
                "output": [{"type": "input_text", "text": OUT}],
            },
            {"type": "custom_tool_call", "call_id": KEPT, "name": KEPT, "input": OUT},
            {
                "type": "local_shell_call",
                "action": {"type": "exec", "command": ["mail", OUT], "env": {"id": OUT}},
            },
            {"type": "image_generation_call", "id": KEPT, "result": KEPT},
            {"type": "mcp_call", "server_label": KEPT, "arguments": json.dumps({"a": OUT}), "output": OUT},
            {"type": "compaction", "encrypted_content": KEPT},
            {"type": "item_reference", "id": KEPT},
        ],
        "tools": [
            {"type": "function", "name": KEPT, "description": OUT, "parameters": {"default": OUT}},
            {"type": "mcp", "server_label": "x", "server_url": KEPT, "headers": {"Authorization": KEPT}},
            {"type": "namespace", "name": KEPT, "tools": [{"name": KEPT, "description": OUT}]},
        ],
        "text": {"format": {"type": "json_schema", "name": KEPT, "description": OUT}},
    },
    Kind.COMPLETIONS: {"model": KEPT, "prompt": [OUT, "x"], "suffix": OUT, "stop": [OUT], "user": KEPT},
    Kind.EMBEDDINGS: {"model": KEPT, "input": [OUT, "x"], "user": KEPT},
}
BODIES[Kind.COUNT_TOKENS] = BODIES[Kind.MESSAGES]
