"""Drills: break a running rehearsal on purpose, watch it from outside and inside, and judge what it did.

The same pieces serve the scenario tests: a handle on the stack, a steady client, a sampler of who takes writes, and
the judge.
"""
