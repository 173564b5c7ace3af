"""Profiles, recordings and denials in, findings out: each module computes one answer and touches no system."""
