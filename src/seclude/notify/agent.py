"""What an OCI runtime hands a container's listener to: a socket in, listeners out to the notify tracer."""

from __future__ import annotations

import os
import socket
import struct

from .. import bundle
from ..errors import SecludeError, TraceError
from ..formats import jsontext
from ..model.frozen import replace
from .precreate import CONFINED, CONTAINER, UNSEEN
from .stranded import STRANDED, Stranded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..trace.notify import NotifyTracer
    from ..trace.notify_rulings import Judgement
    from .judging import Judging

LARGEST_STATE = 1024 * 1024

_CREDENTIALS = struct.Struct("=iII")


class Agent:
    """The socket at which OCI runtimes deliver listeners (runtime-spec, "Seccomp", containerProcessState).

    `known` is the container that was delivered first, `unseen` the calls that its profile could not ask about.
    `judging`: what is refused, None to let every call go on.
    """

    def __init__(self, path: str, tracer: NotifyTracer, number: int, judging: Judging | None = None) -> None:
        self._tracer, self._number, self._judging = tracer, number, judging
        self._connections: list[_Connection] = []
        self.known: bundle.Container | None = None
        self.unseen: tuple[str, ...] = ()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.bind(path)
        except OSError as error:
            self._socket.close()
            raise TraceError(
                f"no socket can be made at {path} ({len(path)} characters, at most 107): {error}",
                hint="set TMPDIR to a directory of yours with a short path",
            ) from error
        self._socket.listen(64)
        self._socket.setblocking(False)
        self._path = path
        self._stranded = Stranded(path)
        self._fetched: set[int] = set()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()
        self._socket.close()

    def look(self) -> None:
        """Take what has been delivered; called often."""
        while True:
            try:
                self._connections.append(_Connection(self._socket.accept()[0]))
            except BlockingIOError:
                break
        for connection in list(self._connections):
            if connection.read():
                self._deliver(connection)
            if connection.ended:
                connection.close()
                self._connections.remove(connection)
        for process, listener in self._stranded.look():
            self._fetched.add(process)
            self._tracer.listen(
                self._number, listener, from_exec=self._unconfined(), judgement=self._judgement(STRANDED)
            )
        self._tracer.attend()

    def _unconfined(self) -> bool:
        """Whether the container had no filter before; the hook leaves word of it before there is a state."""
        try:
            with open(self._path + CONTAINER, encoding="utf-8") as file:
                return file.read(64) == "false"
        except OSError:
            return False

    def _judgement(self, runtime: str) -> Judgement | None:
        return None if self._judging is None else self._judging.by(runtime)

    def _deliver(self, connection: _Connection) -> None:
        state = connection.state
        annotations = state.get("annotations")
        said = annotations if isinstance(annotations, dict) else {}
        confined = said.get(CONFINED) != "false"
        container = self.known
        if container is None:
            found = bundle.read_container(
                str(state.get("bundle", "")), str(state.get("id", "")), connection.runtime
            )
            container = replace(found, confined=confined)
        process = connection.process
        if process in self._fetched:
            self._fetched.discard(process)  # it is answered already; this copy is closed with the connection
        else:
            self._stranded.delivered(process)
            judgement = self._judgement(container.runtime)
            listener, connection.listener = connection.listener, -1
            self._tracer.listen(self._number, listener, from_exec=not confined, judgement=judgement)
        if self.known is None:
            self.known = container
            self.unseen = tuple(filter(None, str(said.get(UNSEEN, "")).split(",")))


class _Connection:
    """One runtime that delivers: its process `runtime`; then the container's `state`, the `process` that is under the
    filter, and `listener`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        connected.setblocking(False)
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.runtime = _CREDENTIALS.unpack(credentials)[0]
        self._text = b""
        self.state: dict[str, object] = {}
        self.process = 0
        self.listener = -1
        self.ended = False

    def close(self) -> None:
        self._socket.close()
        if self.listener >= 0:
            os.close(self.listener)  # whoever is asked by it is told ENOSYS rather than left waiting

    def read(self) -> bool:
        """Whether listener and state are there now."""
        while not self.ended:
            try:
                text, descriptors, _, _ = socket.recv_fds(self._socket, 65536, 4)
            except BlockingIOError:
                return False
            except OSError:
                text, descriptors = b"", []
            self._text += text
            for descriptor in descriptors:
                if self.listener >= 0:
                    os.close(descriptor)
                else:
                    self.listener = descriptor
            self.ended = not text or len(self._text) > LARGEST_STATE
            if self.listener >= 0 and self._understood():
                self.ended = True
                return True
        return False

    def _understood(self) -> bool:
        try:
            value = jsontext.decode(self._text.decode("utf-8"), "the container's state")
        except (SecludeError, UnicodeDecodeError):
            return False
        value = value if isinstance(value, dict) else {}
        pid, state = value.get("pid"), value.get("state")
        self.process = pid if isinstance(pid, int) else 0
        self.state = state if isinstance(state, dict) else {}
        return True
