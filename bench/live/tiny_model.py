"""Writes a tiny language model with random weights as a GGUF file: `python tiny_model.py FILE`.

Rule: nothing is downloaded; a fixed seed makes the same file every time. It runs with the live environment's
Python, which has `gguf` and `numpy`; the rest of the project does not need them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

LAYERS, WIDTH, HEADS, HIDDEN, CONTEXT = 2, 64, 4, 128, 2048
SEED = 3456
UNKNOWN, BEGIN, END = 0, 1, 2
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant: "
)


def vocabulary() -> tuple[list[bytes], list[float], list[int]]:
    """Three control tokens, every byte, and each printable character: text of any kind can be tokenized."""
    controls = [(b"<unk>", gguf.TokenType.UNKNOWN)]
    controls += [(name, gguf.TokenType.CONTROL) for name in (b"<s>", b"</s>")]
    raw = [(f"<0x{byte:02X}>".encode(), gguf.TokenType.BYTE) for byte in range(256)]
    space = "\u2581"  # how this kind of tokenizer writes a space
    shown = [space, *map(chr, range(0x21, 0x7F))]
    pieces = [(piece.encode(), gguf.TokenType.NORMAL) for piece in shown]
    tokens = [*controls, *raw, *pieces]
    scores = [0.0] * (len(tokens) - len(pieces)) + [-float(rank) for rank in range(len(pieces))]
    return [token for token, _ in tokens], scores, [int(kind) for _, kind in tokens]


def write_facts(writer: gguf.GGUFWriter) -> int:
    """Shape and vocabulary; returns the number of tokens."""
    tokens, scores, kinds = vocabulary()
    writer.add_name("patchbay-tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(UNKNOWN)
    writer.add_bos_token_id(BEGIN)
    writer.add_eos_token_id(END)
    writer.add_chat_template(CHAT_TEMPLATE)
    return len(tokens)


def write_weights(writer: gguf.GGUFWriter, words: int) -> None:
    """Random matrices, norms of one. Printable characters get the larger outputs, so that most of the noise shows."""
    source = np.random.default_rng(SEED)

    def matrix(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(name, source.normal(0, 0.3, (rows, columns)).astype(np.float32))

    matrix("token_embd.weight", words, WIDTH)
    for layer in range(LAYERS):
        stem = f"blk.{layer}"
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{stem}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{stem}.{name}.weight", WIDTH, WIDTH)
        matrix(f"{stem}.ffn_gate.weight", HIDDEN, WIDTH)
        matrix(f"{stem}.ffn_up.weight", HIDDEN, WIDTH)
        matrix(f"{stem}.ffn_down.weight", WIDTH, HIDDEN)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    output = source.normal(0, 0.5, (words, WIDTH)).astype(np.float32)
    output[: 3 + 256] *= 0.05
    writer.add_tensor("output.weight", output)


def main() -> None:
    """Write the file named on the command line; never leave half of one."""
    target = Path(sys.argv[1])
    part = target.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    write_weights(writer, write_facts(writer))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(target)


if __name__ == "__main__":
    main()
