"""Moving in: reading another router's configuration, and Patchbay's own export, into a plan.

Rule: pure. Text and an environment go in, a `Plan` comes out: no file is opened here, nothing is asked over a
network, no row is written. Secrets stand only in fields that no repr shows, and never in a reason.
"""
