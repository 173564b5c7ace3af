"""A bare repository that stands for GitHub, and a developer's clone: files in, pushes and their events out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from runner import Event

IDENTITY = ("-c", "user.name=Developer", "-c", "user.email=developer@example.org")


class Origin:
    """`path` is the bare repository, `clone` the developer's work tree of the branch `main`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "origin.git"
        self.clone = directory / "clone"
        _git("init", "--quiet", "--bare", "--initial-branch=main", self.path)
        # As on GitHub: any commit can be fetched by its name.
        _git("-C", self.path, "config", "uploadpack.allowAnySHA1InWant", "true")
        _git("clone", "--quiet", self.path, self.clone)
        _git("-C", self.clone, "symbolic-ref", "HEAD", "refs/heads/main")

    def git(self, *arguments: str) -> str:
        """git in the developer's clone; what it says."""
        return _git("-C", self.clone, *IDENTITY, *arguments)

    def take(self, source: Path) -> None:
        """Copies a directory's files into the clone, without what Python leaves there."""
        ignored = shutil.ignore_patterns("__pycache__", ".seclude", ".pytest_cache")
        shutil.copytree(source, self.clone, ignore=ignored, dirs_exist_ok=True)

    def push(
        self, files: Mapping[str, str], message: str = "A change", *, branch: str = "main", onto: str = "main"
    ) -> Event:
        """Commits `files` on top of the branch `onto` as it is in origin now, and pushes to `branch`."""
        if self.head(onto):
            self.git("fetch", "--quiet", "origin")
            self.git("reset", "--quiet", "--keep", f"origin/{onto}")
        for name, text in files.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.event(f"refs/heads/{branch}")

    def event(self, ref: str, name: str = "push") -> Event:
        """The event of a push to `ref`, a full name, with the last commit as what changed."""
        changed = self.changed(ref)
        return Event(name=name, origin=self.path, ref=ref, sha=self.head(ref), changed=changed)

    def head(self, ref: str) -> str:
        """The commit that `ref` is at in origin; empty if there is none."""
        return _git(
            "-C", self.path, "rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}", check=False
        ).strip()

    def changed(self, ref: str) -> tuple[str, ...]:
        """The files of the last commit of `ref`."""
        listed = _git("-C", self.path, "show", "--name-only", "--format=", "-z", ref)
        return tuple(filter(None, listed.split("\0")))

    def log(self, ref: str = "main", form: str = "%s") -> list[str]:
        """The commits of `ref`, the last one first, each in the form of `git log`."""
        return _git("-C", self.path, "log", f"--format={form}", ref).splitlines()

    def show(self, path: str, ref: str = "main") -> str:
        """A file as it is in origin."""
        return _git("-C", self.path, "show", f"{ref}:{path}")

    def hook(self, name: str, script: str) -> None:
        """Makes origin run a hook, such as one that refuses every push."""
        path = self.path / "hooks" / name
        path.write_text(script)
        path.chmod(0o755)


def _git(*arguments: str | Path, check: bool = True) -> str:
    done = subprocess.run(["git", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0 or not check, f"git {arguments}\n{done.stdout}{done.stderr}"
    return done.stdout
