"""Day-2 commands on a deployed stack: verify, status, roll-out, switchover, explain.

Servers are found by their tags and reached through Systems Manager; region, credentials and endpoint come from the
standard AWS environment (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, ...), so the same commands serve a rehearsal.
"""
