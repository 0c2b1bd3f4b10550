"""Patchbay beside other gateways, measured in one run on this machine: `python -m bench --help`.

    __main__.py   the command line and the order of things
    subjects.py   what is measured: straight to the upstream, nginx, Patchbay     peers.py   LiteLLM and others
    install.py    how each of them gets onto this machine, by package name
    process.py    a started subject, pinned to a core     proc.py   CPU time and memory of its process tree
    load.py       the load generator, a process of its own     client.py   its HTTP client     jobs.py   its orders
    driver.py     the other end of the load generator     scenarios.py   which loads there are
    measure.py    one subject through all of them     stats.py   percentiles     targets.py   what is good enough
    alone.py      what only Patchbay is asked: growth, idle streams     soak.py   `python -m bench.soak`
    workers.py    two workers behind one port: `python -m bench.workers`     slices.py   the same CPU for each
    serving.py    one Patchbay under one load
    report.py     RESULTS.md     report_alone.py, markdown.py   parts of it     machine.py   where it ran

Rules: only this machine's loopback; every answer is checked; a subject that cannot run is named in the table.
"""
