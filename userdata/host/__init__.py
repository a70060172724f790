"""Programs that run on the servers themselves, as the package `host` below /usr/local/lib/tripod.

They need Python 3.13 or later and, besides the standard library, only the distribution's boto3 and PyMySQL.
"""
