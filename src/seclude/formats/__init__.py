"""Profiles as other programs read or enforce them: one module a format."""
