"""Pods as kubelet makes them, over the Container Runtime Interface: a socket and annotations in, containers out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

# The messages are compiled from cri.proto, beside us on sys.path, when they are first asked for.
_messages, _services = grpc.protos_and_services("cri.proto")

RUNNING, EXITED = 1, 2
_PROFILES = {"": 0, "unconfined": 1}


class CriError(Exception):
    """What the engine answered in place of a result: kubelet shows it as an event of the pod."""


@dataclass(frozen=True)
class Ended:
    """A container that has ended: its id, its exit status, and what it wrote."""

    container: str
    status: int
    out: str
    err: str


class Pod:
    """A pod on the node's network, which needs no CNI plugin. Use `Cri.pod`."""

    def __init__(
        self, cri: Cri, name: str, annotations: Mapping[str, str], logs: Path, *, handler: str
    ) -> None:
        self._cri = cri
        self._logs = logs
        # Annotations of a container are not Kubernetes', they are kubelet's own; the pod's are the user's.
        self._config = _messages.PodSandboxConfig(
            metadata=_messages.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default"),
            annotations=dict(annotations),
            log_directory=str(logs),
        )
        self._config.linux.security_context.namespace_options.network = _messages.NODE
        request = _messages.RunPodSandboxRequest(config=self._config, runtime_handler=handler)
        self.sandbox = cri.call("RunPodSandbox", request).pod_sandbox_id
        self.containers: dict[str, str] = {}

    def start(
        self,
        name: str,
        *command: str,
        image: str,
        seccomp: str | Path = "",
        no_new_privileges: bool = False,
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Starts a container of the pod; its id. `seccomp`: a profile's path, "unconfined", or the engine's own.

        Raises CriError.
        """
        config = _messages.ContainerConfig(
            metadata=_messages.ContainerMetadata(name=name),
            image=_messages.ImageSpec(image=image),
            command=list(command),
            log_path=f"{name}.log",
            annotations=dict(annotations or {}),
        )
        context = config.linux.security_context
        context.namespace_options.network = _messages.NODE
        context.namespace_options.pid = _messages.CONTAINER
        context.no_new_privs = no_new_privileges
        context.seccomp.profile_type = _PROFILES.get(str(seccomp), 2)
        if str(seccomp) not in _PROFILES:
            context.seccomp.localhost_ref = f"localhost/{seccomp}"
        request = _messages.CreateContainerRequest(
            pod_sandbox_id=self.sandbox, config=config, sandbox_config=self._config
        )
        container: str = self._cri.call("CreateContainer", request).container_id
        self.containers[name] = container
        self._cri.call("StartContainer", _messages.StartContainerRequest(container_id=container))
        return container

    def run(self, name: str, *command: str, **keywords: Any) -> Ended:
        """The same to its end."""
        container = self.start(name, *command, **keywords)
        status = self.wait(container)
        return Ended(container, status, *self.logs(name))

    def wait(self, container: str, seconds: float = 60) -> int:
        """The exit status of a container once it has ended."""
        deadline = time.monotonic() + seconds
        request = _messages.ContainerStatusRequest(container_id=container)
        while (status := self._cri.call("ContainerStatus", request).status).state != EXITED:
            assert time.monotonic() < deadline, status
            time.sleep(0.05)
        code: int = status.exit_code
        return code

    def logs(self, name: str) -> tuple[str, str]:
        """(standard output, standard error); a line of the log is TIME STREAM F TEXT (kubelet's CRI format)."""
        texts = {"stdout": "", "stderr": ""}
        for line in (self._logs / f"{name}.log").read_text().splitlines():
            _, stream, _, text = line.split(" ", 3)
            texts[stream] += f"{text}\n"
        return texts["stdout"], texts["stderr"]

    def execute(self, container: str, *command: str) -> tuple[int, str, str]:
        """`kubectl exec`: exit status, standard output, standard error."""
        request = _messages.ExecSyncRequest(container_id=container, cmd=list(command), timeout=60)
        done = self._cri.call("ExecSync", request)
        return done.exit_code, done.stdout.decode(), done.stderr.decode()

    def stop(self, container: str, seconds: int = 0) -> None:
        """Ends a container, as the deletion of its pod does."""
        self._cri.call(
            "StopContainer", _messages.StopContainerRequest(container_id=container, timeout=seconds)
        )

    def close(self) -> None:
        self._cri.call("StopPodSandbox", _messages.StopPodSandboxRequest(pod_sandbox_id=self.sandbox))
        self._cri.call("RemovePodSandbox", _messages.RemovePodSandboxRequest(pod_sandbox_id=self.sandbox))


class Cri:
    """A client of the engine at a socket; `logs` is a directory for what containers write."""

    def __init__(self, socket: Path, logs: Path) -> None:
        self._logs = logs
        self._count = 0
        self._channel = grpc.insecure_channel(f"unix://{socket}")
        self._stub = _services.RuntimeServiceStub(self._channel)

    def call(self, method: str, request: Any) -> Any:
        """One call; raises CriError."""
        try:
            return getattr(self._stub, method)(request, timeout=120)
        except grpc.RpcError as error:
            raise CriError(error.details()) from error

    def version(self) -> str:
        """What answers: name and version."""
        found = self.call("Version", _messages.VersionRequest())
        return f"{found.runtime_name} {found.runtime_version}"

    @contextmanager
    def pod(self, annotations: Mapping[str, str], *, handler: str) -> Iterator[Pod]:
        """A pod of this RuntimeClass's handler up to the end of the block; its containers end with it."""
        self._count += 1
        logs = self._logs / f"pod{self._count}"
        logs.mkdir()
        pod = Pod(self, f"pod{self._count}", annotations, logs, handler=handler)
        try:
            yield pod
        finally:
            pod.close()

    def close(self) -> None:
        self._channel.close()
