"""The tracers: each watches processes and returns an Observation. A new one is a file here and a line below."""

from __future__ import annotations

TRACERS = {"ebpf": "seclude.trace.ebpf:EbpfTracer"}
"""Name -> where the class is; imported when it is chosen."""
