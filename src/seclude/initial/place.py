"""A directory and the repository it lies in, in; the paths that a workflow at the repository's root names, out."""

from __future__ import annotations

import os

from ..configuration import repository_of
from ..errors import SecludeError
from ..model.frozen import frozen

SETTINGS = "seclude.toml"
PROFILE = "seccomp.json"
RECORDINGS = ".seclude"


@frozen
class Placed:
    """`root` of the repository, absolute, and `below`, where in it the configuration goes (empty: at the root)."""

    root: str
    below: str = ""

    @property
    def nested(self) -> bool:
        """Whether the configuration is not at the root, so that it must be named."""
        return bool(self.below)

    @property
    def configuration(self) -> str:
        """As all here, relative to the root."""
        return self._path(SETTINGS)

    @property
    def profile(self) -> str:
        """The profile that seclude.toml will name."""
        return self._path(PROFILE)

    @property
    def recordings(self) -> str:
        """The directory of recordings that is the default."""
        return self._path(RECORDINGS)

    def _path(self, name: str) -> str:
        return os.path.join(self.below, name)


def placed(directory: str) -> Placed:
    """Where `directory` is; raises SecludeError for one whose path no workflow can name safely."""
    here = os.path.realpath(directory)
    root = repository_of(here) or here
    below = os.path.relpath(here, root)
    below = "" if below == "." else below
    # GitHub reads ${{ }} in any value, GitLab and its shell read $; nothing needs such a name.
    if "$" in below or not below.isprintable():
        raise SecludeError(
            f"the directory {below[:200]!r} cannot be named in a workflow",
            hint="rename it: no '$' and no control characters",
        )
    return Placed(root=root, below=below)
