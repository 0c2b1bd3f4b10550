"""Pointing other programs' own configuration at Patchbay, and back: what `manage.py connect` does.

    parts.py       the words of it: where, what is wished, a tool, an edit
    tools.py       the table of tools; one module each: claude_code, codex, aider, opencode, …
    json_text.py   edits in JSON with comments, YAML and TOML that leave every other byte of the text alone
    yaml_text.py
    toml_text.py
    files.py       reading, backing up and replacing files, all of a tool's or none
    ledger.py      what was done, so that it can be undone exactly
    wishes.py      which models, which key: read from the configuration in force
    showing.py     diffs without secrets
    round_trip.py  a free test through the running server

Rule: a tool is told where Patchbay is, in its own documented settings. None is made to look like another.
"""
