"""`manage.py backends`: the same command as `backend`."""

from __future__ import annotations

from accounts.management.commands.backend import Command

__all__ = ["Command"]
