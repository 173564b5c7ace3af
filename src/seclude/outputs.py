"""Files that a privileged process writes where somebody else says: checked beforehand, written beside, renamed.

Whoever starts a container chooses the paths, and the hook runs as root: no component of a path may be a link, and
nothing is replaced but an empty file or one of the kind that is being written.
"""

from __future__ import annotations

import errno
import os
import stat

from .errors import OutputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MODE = 0o644
LARGEST_REPLACED = 64 * 1024 * 1024
SPACE_WANTED = 1024 * 1024
"""Bytes that must be free before a recording begins: a profile has some 2 kB, a recording some 20 kB a test."""

POLICY = "/etc/seclude/policy.toml"


class Output:
    """One file to be written: `kind` is what may be replaced ("seccomp profile"), `is_kind` tells it by its text."""

    def __init__(self, path: str, kind: str, is_kind: Callable[[str], bool]) -> None:
        self.path = path
        self._kind = kind
        self._is_kind = is_kind

    def check(self, directories: Sequence[str] | None = None) -> None:
        """Raise OutputError if `write` would be refused now; leaves nothing behind.

        `directories`: where writing is allowed at all (None: anywhere).
        """
        if directories is not None and not any(_lies_in(self.path, directory) for directory in directories):
            raise OutputError(
                f"{self.path}: the policy allows output only in {', '.join(directories) or 'no directory'}",
                hint=f"choose another path, or see {POLICY}",
            )
        directory, name = self._open_directory()
        try:
            self._check_existing(directory, name)
            descriptor, beside = self._create_beside(directory)
            try:
                space = os.fstatvfs(descriptor)
            finally:
                os.close(descriptor)
                os.unlink(beside, dir_fd=directory)
            if space.f_bavail * space.f_frsize < SPACE_WANTED:
                raise OutputError(
                    f"{self.path}: {space.f_bavail * space.f_frsize} bytes are free, {SPACE_WANTED} are needed",
                    hint="make room, or choose another file system",
                )
        finally:
            os.close(directory)

    def write(self, text: str) -> None:
        """Put `text` in place at once or not at all; raises OutputError, and then the old file is untouched."""
        directory, name = self._open_directory()
        try:
            self._check_existing(directory, name)
            descriptor, beside = self._create_beside(directory)
            try:
                try:
                    data = memoryview(text.encode("utf-8"))
                    while data:
                        data = data[os.write(descriptor, data) :]
                    os.fchmod(descriptor, MODE)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException as error:
                os.unlink(beside, dir_fd=directory)
                if isinstance(error, OSError):
                    raise self._failure(error) from error
                raise
            try:
                os.fsync(directory)
            except OSError:
                pass  # it is in place; some file systems cannot be asked to make sure of a directory
        finally:
            os.close(directory)

    def remove(self) -> bool:
        """Remove the file, if it is there and of the kind; raises OutputError if it is not, or cannot be."""
        directory, name = self._open_directory()
        try:
            if not self._check_existing(directory, name):
                return False
            os.unlink(name, dir_fd=directory)
            return True
        except OSError as error:
            raise OutputError(f"{self.path} cannot be removed: {os.strerror(error.errno or 0)}") from error
        finally:
            os.close(directory)

    def _failure(self, error: OSError) -> OutputError:
        reason = os.strerror(error.errno or 0)
        hint = (
            "make room, or choose another file system"
            if error.errno == errno.ENOSPC
            else "choose another path"
        )
        return OutputError(f"{self.path} cannot be written: {reason}", hint=hint)

    def _open_directory(self) -> tuple[int, str]:
        """(descriptor of the directory, the file's name); no link is followed on the way."""
        path = self.path
        if not path.startswith("/"):
            raise OutputError(f"{path!r} is a relative path", hint="give an absolute one")
        *parents, name = path.split("/")[1:]
        if any(part in (".", "..") for part in (*parents, name)) or not path.isprintable():
            raise OutputError(
                f"{path!r} is not a plain path", hint="leave out '.', '..' and control characters"
            )
        if not name:
            raise OutputError(f"{path!r} names a directory", hint="add a file name")
        descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        walked = ""
        for part in filter(None, parents):
            walked += "/" + part
            try:
                following = os.open(
                    part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor
                )
            except OSError as error:
                is_link = os.path.islink(walked)
                os.close(descriptor)
                if is_link:
                    raise OutputError(
                        f"{path}: {walked} is a symbolic link", hint="give the real path of the directory"
                    ) from error
                if error.errno == errno.ENOENT:
                    raise OutputError(
                        f"{path}: there is no directory {walked}", hint="create it first"
                    ) from error
                raise OutputError(f"{path}: {walked}: {os.strerror(error.errno or 0)}") from error
            os.close(descriptor)
            descriptor = following
        try:
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor), name
        except OSError as error:
            raise OutputError(f"{path}: {walked}: {os.strerror(error.errno or 0)}") from error
        finally:
            os.close(descriptor)

    def _check_existing(self, directory: int, name: str) -> bool:
        """Whether there is a file, which then may be replaced; raises OutputError for one that may not."""
        try:
            # Not opened before it is known what it is: to open a device can be to use it.
            place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise OutputError(
                f"{self.path}: {os.strerror(error.errno or 0)}", hint="choose another path"
            ) from error
        try:
            mode = os.fstat(place).st_mode
        finally:
            os.close(place)
        if stat.S_ISLNK(mode):
            raise OutputError(f"{self.path} is a symbolic link", hint="choose another path")
        if not stat.S_ISREG(mode):
            raise OutputError(f"{self.path} exists and is no regular file", hint="choose another path")
        if not self._may_replace(directory, name):
            raise OutputError(
                f"{self.path} exists and is no {self._kind}; it is not replaced",
                hint="choose another path, or remove the file",
            )
        return True

    def _may_replace(self, directory: int, name: str) -> bool:
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory
            )
        except OSError as error:
            raise OutputError(
                f"{self.path}: {os.strerror(error.errno or 0)}", hint="choose another path"
            ) from error
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_REPLACED:
                return False
            return status.st_size == 0 or self._is_kind(file.read())

    def _create_beside(self, directory: int) -> tuple[int, str]:
        beside = f".seclude-{os.urandom(8).hex()}"
        try:
            descriptor = os.open(
                beside,
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
                dir_fd=directory,
            )
        except OSError as error:
            raise self._failure(error) from error
        return descriptor, beside


def _lies_in(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


def allowed_directories(policy: str = POLICY) -> tuple[str, ...] | None:
    """The `output-directories` of the policy file, None without one; raises OutputError if it is not sound.

    Paths are compared as written: since no link is followed, a path that begins with a directory lies in it.
    """
    try:
        with open(policy, "rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{policy} cannot be read: {os.strerror(error.errno or 0)}") from error
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise OutputError(
            f"{policy} can be changed by others than root", hint=f"chown root, chmod 644 {policy}"
        )
    import tomllib

    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise OutputError(f"{policy}: {error}") from error
    directories = table.pop("output-directories", None)
    if table:
        raise OutputError(
            f"{policy}: unknown key {sorted(table)[0]!r}", hint="the one key is output-directories"
        )
    if not isinstance(directories, list) or not all(
        isinstance(item, str) and item.startswith("/") for item in directories
    ):
        raise OutputError(f"{policy}: output-directories must be a list of absolute paths")
    return tuple(directories)
