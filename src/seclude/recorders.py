"""A command and the tracer that was asked for in; the engine and the tracer that record it, and its recording, out."""

from __future__ import annotations

from .docker_recording import record_docker
from .engines import engine_for
from .errors import EngineError, TraceError
from .model.frozen import frozen
from .notify import recording as notify
from .session import record_podman, record_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .session import Recorded, Settings


@frozen
class Recorder:
    """Records commands of one engine (podman, docker or process) with one tracer (ebpf or notify).

    `say`: where to tell the user what a tracer has to tell. `base`: a profile's path, empty for none, whose conditions
    the recording of a container must be able to answer; `arguments`: the same as call -> indices of arguments, for what
    starts no container.
    """

    engine: str
    tracer: str
    say: Callable[[str], None]
    base: str
    arguments: dict[str, tuple[int, ...]]

    def record(self, command: Sequence[str], settings: Settings, progress: Callable[[str], None]) -> Recorded:
        """Run a command of this engine to its end; how it ended, and its recording. Raises SecludeError."""
        if self.engine == "docker":
            return record_docker(command, settings, progress, self.base)
        if self.tracer == "notify":
            record = notify.record_podman if self.engine == "podman" else notify.record_process
            return record(command, settings, progress, self.say, self.arguments)
        if self.engine == "podman":
            return record_podman(command, settings, progress, self.base)
        return record_process(command, settings, progress, self.arguments)


def recorder_for(
    command: Sequence[str],
    tracer: str,
    settings: Settings,
    say: Callable[[str], None],
    *,
    base: str,
    arguments: dict[str, tuple[int, ...]],
) -> Recorder:
    """What records such a command; where `tracer` is "auto", what can be used here, with the reason said.

    Raises SecludeError for what cannot be done together, before anything runs.
    """
    engine = engine_for(command).name
    if engine != "docker":
        tracer = notify.chosen(tracer, say)
    elif tracer == "notify":
        raise EngineError(
            "notify does not record containers of docker", hint="record them as root, with --tracer ebpf"
        )
    if settings.stacks and tracer == "notify":
        raise TraceError("stacks are read of what eBPF records", hint="leave out --stacks, or record as root")
    return Recorder(engine=engine, tracer=tracer, say=say, base=base, arguments=arguments)
