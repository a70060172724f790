"""The model of a stack: servers, roles, addresses, flows, names.

Pure: nothing here imports Pulumi or an AWS SDK, so the program, the rehearsal and the day-2 commands can all
agree on it without knowing each other.
"""
