"""Recordings without privilege: what stands around the tracer `notify`, from the recorded command to podman's hook."""
