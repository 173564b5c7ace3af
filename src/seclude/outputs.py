"""Files that a privileged process writes where somebody else says: checked beforehand, written beside, renamed.

Whoever starts a container chooses the paths, and the hook runs as root: no component of a path may be a link, and
nothing is replaced but an empty file or one of the kind that is being written.
"""

from __future__ import annotations

import errno
import os
import stat

from .errors import OutputError
from .model.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MODE = 0o644
LARGEST_REPLACED = 64 * 1024 * 1024
SPACE_WANTED = 1024 * 1024
"""Bytes that must be free before a recording begins: a profile has some 2 kB, a recording some 20 kB a test."""

POLICY = "/etc/seclude/policy.toml"
DIRECTORY = "/var/lib/seclude"
"""Where users of an engine's interface may have outputs written without a policy; root makes it, or nothing is."""


class Output:
    """One file to be written: `kind` is what may be replaced ("seccomp profile"), `is_kind` tells it by its text."""

    def __init__(self, path: str, kind: str, is_kind: Callable[[str], bool], *, mode: int = MODE) -> None:
        self.path = path
        self._mode = mode
        self._kind = kind
        self._is_kind = is_kind

    def check(self, policy: Policy | None = None) -> None:
        """Raise OutputError if `write` would be refused now, or the policy forbids it; leaves nothing behind."""
        if policy is not None:
            policy.admit(self.path)
        directory, name = self._open_directory()
        try:
            if policy is not None:
                policy.admit_owner(self.path, os.fstat(directory).st_uid)
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
                    os.fchmod(descriptor, self._mode)
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


@frozen
class Policy:
    """Where outputs may be written: below which directories (None: any), and whose the directory may be (None: any's).

    Paths are compared as written: since no link is followed, a path that begins with a directory lies in it.
    """

    directories: tuple[str, ...] | None = None
    owners: tuple[int, ...] | None = None

    def admit(self, path: str) -> None:
        """Raise OutputError for a path that lies elsewhere."""
        allowed = self.directories
        if allowed is None or (
            ".." not in path.split("/") and any(_lies_in(path, directory) for directory in allowed)
        ):
            return
        raise OutputError(
            f"{path}: the policy allows only paths in {', '.join(allowed) or 'no directory'}",
            hint=f"choose another path, or see {POLICY}",
        )

    def admit_owner(self, path: str, owner: int) -> None:
        """Raise OutputError where the directory of `path` belongs to somebody else."""
        if self.owners is not None and owner not in self.owners:
            raise OutputError(
                f"{path}: its directory belongs to the user {owner}, and the policy allows those of "
                f"{', '.join(map(str, self.owners)) or 'nobody'}",
                hint=f"choose another path, or see directory-owners in {POLICY}",
            )


UNTRUSTED = Policy(directories=(DIRECTORY,), owners=(0,))
"""What holds for users of an engine's interface, whoever they are, where root has written no policy."""


def read_policy(policy: str = POLICY, *, trusted: bool = True) -> Policy:
    """The policy file's content, or what holds without one; raises OutputError if it is not sound."""
    try:
        with open(policy, "rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read()
    except FileNotFoundError:
        return Policy() if trusted else UNTRUSTED
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
    owners = table.pop("directory-owners", None)
    if table:
        raise OutputError(
            f"{policy}: unknown key {sorted(table)[0]!r}",
            hint="the keys are output-directories and directory-owners",
        )
    if not isinstance(directories, list) or not all(
        isinstance(item, str) and item.startswith("/") for item in directories
    ):
        raise OutputError(f"{policy}: output-directories must be a list of absolute paths")
    if owners is None:
        return Policy(directories=tuple(directories))
    if not isinstance(owners, list):
        raise OutputError(f"{policy}: directory-owners must be a list of names or numbers of users")
    return Policy(directories=tuple(directories), owners=tuple(_user(owner, policy) for owner in owners))


def _user(user: object, policy: str) -> int:
    """The number of a user by name or number; raises OutputError."""
    if type(user) is int and user >= 0:
        return user
    import pwd

    try:
        return pwd.getpwnam(str(user)).pw_uid
    except (KeyError, ValueError) as error:
        raise OutputError(
            f"{policy}: directory-owners: there is no user {str(user)[:80]!r}", hint="see `getent passwd`"
        ) from error
