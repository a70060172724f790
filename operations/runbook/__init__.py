"""The runbook: what to do when something breaks, and for planned work that is dangerous, with a stack's real names."""
