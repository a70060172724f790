"""Pulumi components: a topology becomes AWS resources.

Every component has an args dataclass beside it, children named after it, and typed outputs as attributes. Nothing
is created inside `apply`, so a preview shows everything.
"""
