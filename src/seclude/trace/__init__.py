"""The tracers, eBPF (ebpf.py) and user notification (notify.py): each watches processes and returns an Observation."""
