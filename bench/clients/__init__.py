"""Real tools through a running Patchbay to a backend of another protocol: `python -m bench.clients`, `make clients`.

    __main__.py   the order of things, and one line for each tool
    scenario.py   what a scenario is, and what is looked at after it
    lab.py        one Patchbay, one simulated provider, and the wall that lets nothing else through
    install.py    the tools, by package name and version, in environments of their own under `.clients/`
    sandbox.py    a home, a work folder and an environment for one run of a tool
    agents.py     Claude Code, Codex, aider, opencode, Continue's command line
    libraries.py  llm, the Vercel AI SDK, the official SDKs in Python and JavaScript
    node/         what runs in Node.js; python_sdks.py what runs in Python

The agents and llm are pointed at Patchbay by `manage.py connect`, as a user would do it, and are set back after it.

Rules: no tool sees the user's own settings or keys, no tool reaches anything but loopback, every run has a time limit.
"""
