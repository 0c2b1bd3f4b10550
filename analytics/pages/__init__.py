"""The dashboard: one module a page, and what they read and draw."""
