"""Everything that can be wrong, looked at once: what `manage.py doctor` does.

    findings.py       what a check says: ok, warn or fail, and the cure
    machine.py        Python, packages, disk, Redis
    home.py           the home directory, its secrets, the names of settings
    databases.py      files, faults, migrations
    configuration.py  accounts, routes, client keys, the admin
    online.py         the port, the backends, the clock: what has to be asked
    examination.py    all of it, in order

Rule: nothing is changed, nothing costs money, and a check that cannot be made says so instead of failing the others.
"""
