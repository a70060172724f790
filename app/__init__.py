"""The sample application of Tripod: a guestbook that shows which servers did the work.

It imports only Flask, PyMySQL and the standard library, so that the packages of the
distribution are enough on a server. See README.md for its interface.
"""
