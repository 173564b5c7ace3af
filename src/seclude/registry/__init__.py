"""Profiles in container registries: found, sent and fetched over the OCI distribution API, each byte verified.

Written on the standard library. oras-py, the client on PyPI, verifies no digest of what it downloads, bounds no answer
and prints to standard output (read at 0.2.41).
"""
