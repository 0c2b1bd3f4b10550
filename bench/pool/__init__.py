"""A week of synthetic traffic through the real pool, for every strategy: see `python -m bench.pool`."""

from __future__ import annotations
