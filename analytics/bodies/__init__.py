"""Bodies that are kept: cut into pieces, each stored once, found by their words, within a budget."""

from __future__ import annotations
