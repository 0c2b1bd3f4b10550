"""Fuzzing: what reads strangers' bytes, fed with bytes that nobody meant.

A target is a function of bytes that raises when a rule is broken. The tests try each with a few hundred inputs;
`make fuzz` looks for new paths through the code for as long as it is told to.
"""
