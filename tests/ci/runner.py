"""Runs a job of a workflow as GitHub's runner does: a workflow and an event in; outputs, annotations, summary out.

It knows the keys, the actions and the expressions that our workflows use, and fails on any other. Steps are real
processes with real GITHUB_* files; only the actions of others are emulated.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from expressions import Evaluator
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
OURS = "seclude-project/seclude"
BASH = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"]
WORKFLOW_KEYS = {"name", "on", "permissions", "concurrency", "jobs"}
JOB_KEYS = {"name", "if", "runs-on", "timeout-minutes", "permissions", "steps"}
_COMMAND = re.compile(r"\s*::(\S[^ :]*)( [^:]*)?::(.*)")
_OLD_COMMAND = re.compile(r"##\[(\S+?)( [^\]]*)?\](.*)")  # the old form is taken anywhere in a line
STEP_KEYS = {"name", "id", "if", "uses", "with", "run", "shell", "env"}

Launch = Callable[[Sequence[str | Path], Path, Mapping[str, str]], "subprocess.CompletedProcess[bytes]"]
"""(command, directory, environment) -> how it ended, its output in one stream."""


class UnsupportedError(Exception):
    """A workflow uses what this runner does not know."""


@dataclass(frozen=True)
class Event:
    """What started a workflow: its name, the payload, and what GitHub derives from it. `origin`: the repository."""

    name: str
    origin: Path
    ref: str
    sha: str
    changed: tuple[str, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """How a job went. `annotations`: (level, message); `artifacts`: name -> directory; `log`: all output."""

    succeeded: bool = True
    log: str = ""
    summary: str = ""
    annotations: list[tuple[str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        ended = "succeeded" if self.succeeded else "failed"
        return f"{ended}; outputs {self.outputs}; annotations {self.annotations}\n{self.log}\n{self.summary}"


def load(path: Path) -> dict[str, Any]:
    """A YAML file."""
    value = YAML(typ="safe").load(path)
    assert isinstance(value, dict), path
    return value


def starts(workflow: Mapping[str, Any], event: Event) -> bool:
    """Whether the event starts the workflow: by its name, branch and changed files."""
    told = workflow["on"]
    if isinstance(told, str):
        return told == event.name
    if event.name not in told:
        return False
    filters = dict(told[event.name] or {})
    branches = filters.pop("branches", None)
    ignored = filters.pop("paths-ignore", ())
    if filters:
        raise UnsupportedError(f"on: {sorted(filters)}")
    if branches is not None and not _is_in(event.ref.removeprefix("refs/heads/"), branches):
        return False
    return not (event.changed and all(_is_in(path, ignored) for path in event.changed))


def _is_in(name: str, patterns: Sequence[str]) -> bool:
    """Whether the last pattern that fits `name` is no exception; a reference that is no branch fits none."""
    if name.startswith("refs/"):
        return False
    found = False
    for pattern in patterns:
        if fnmatchcase(name, pattern.removeprefix("!")):
            found = not pattern.startswith("!")
    return found


class Job:
    """One run of the only job of a workflow, in directories below `directory`."""

    def __init__(self, event: Event, directory: Path, launch: Launch, environment: Mapping[str, str]) -> None:
        self._event = event
        self._launch = launch
        self._temp = directory / "temp"
        self._files = directory / "files"
        self.workspace = directory / "workspace"
        self._artifacts = directory / "artifacts"
        for path in (self._temp, self._files, self.workspace):
            path.mkdir(parents=True)
        payload = directory / "event.json"
        payload.write_text(json.dumps(event.payload))
        self._summary = directory / "summary.md"
        self._summary.touch()
        self._environment = {
            name: text for name, text in environment.items() if not name.startswith("GITHUB_")
        }
        self._github = {
            "event_name": event.name,
            "ref": event.ref,
            "sha": event.sha,
            "token": "ghs_secret",
            "repository": "owner/demo",
            "workspace": str(self.workspace),
            "event": event.payload,
        }
        self._environment |= {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": event.name,
            "GITHUB_EVENT_PATH": str(payload),
            "GITHUB_REF": event.ref,
            "GITHUB_REF_NAME": re.sub(r"^refs/(heads|tags|pull)/", "", event.ref),
            "GITHUB_SHA": event.sha,
            "GITHUB_REPOSITORY": "owner/demo",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": environment.get("GITHUB_API_URL", "https://api.github.com"),
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_STEP_SUMMARY": str(self._summary),
            "RUNNER_TEMP": str(self._temp),
            "RUNNER_OS": "Linux",
        }
        self.outcome = Outcome()
        self._count = 0

    def run(self, workflow: Mapping[str, Any], name: str = "") -> Outcome:
        """All steps of the job `name`, or of the only one."""
        _only(workflow, WORKFLOW_KEYS)
        jobs = workflow["jobs"]
        job = jobs[name] if name else next(iter(jobs.values()))
        assert name or len(jobs) == 1, list(jobs)
        _only(job, JOB_KEYS)
        if Evaluator({"github": self._github}).condition(job.get("if", True)):
            self.outcome.outputs = self._steps(job["steps"], inputs=None, action=None)
        self.outcome.summary = self._summary.read_text()
        return self.outcome

    def _steps(
        self, steps: Sequence[Mapping[str, Any]], inputs: Mapping[str, str] | None, action: Path | None
    ) -> dict[str, dict[str, str]]:
        """Runs a job's or a composite action's steps; id -> outputs."""
        outputs: dict[str, dict[str, str]] = {}
        failed = False
        for step in steps:
            _only(step, STEP_KEYS)
            contexts: dict[str, Any] = {
                "github": self._github,
                "env": self._environment,
                "steps": {name: {"outputs": values} for name, values in outputs.items()},
            }
            if inputs is not None:
                contexts["inputs"] = inputs
            evaluator = Evaluator(contexts, failed=failed)
            if not evaluator.condition(step.get("if", True)):
                continue
            given = {name: evaluator.text(text) for name, text in step.get("env", {}).items()}
            if "run" in step:
                ended, values = self._script(step, given, action)
            else:
                arguments = {name: evaluator.text(text) for name, text in step.get("with", {}).items()}
                ended, values = self._uses(step["uses"], arguments)
            if "id" in step:
                outputs[step["id"]] = values
            failed = failed or not ended
        self.outcome.succeeded = self.outcome.succeeded and not failed
        return outputs

    def _uses(self, uses: str, arguments: Mapping[str, str]) -> tuple[bool, dict[str, str]]:
        name, _, version = uses.partition("@")
        if name == OURS or name.startswith(f"{OURS}/"):
            return self._composite(ROOT / name.removeprefix(OURS).lstrip("/"), arguments)
        if not re.fullmatch("[0-9a-f]{40}", version):
            raise UnsupportedError(f"{uses} is not pinned")
        if name == "actions/checkout":
            return self._checkout(arguments), {}
        if name == "actions/upload-artifact":
            place = self._artifacts / arguments["name"]
            shutil.copytree(arguments["path"], place)
            self.outcome.artifacts[arguments["name"]] = place
            return True, {}
        raise UnsupportedError(uses)

    def _checkout(self, arguments: Mapping[str, str]) -> bool:
        """The event's commit, alone, as actions/checkout leaves it; its branch is checked out where there is one."""
        _only(arguments, {"persist-credentials"})
        branch = self._event.ref.removeprefix("refs/heads/")
        refspec = self._event.sha
        git = ["git", "-C", str(self.workspace)]
        for command in (
            ["git", "init", "--quiet", str(self.workspace)],
            # It switches that off, too: nothing works on the repository behind the steps' backs (git 2.47 and newer).
            [*git, "config", "gc.auto", "0"],
            [*git, "config", "maintenance.auto", "false"],
            [*git, "remote", "add", "origin", f"file://{self._event.origin}"],
            [*git, "fetch", "--quiet", "--no-tags", "--depth=1", "origin", refspec],
            [*git, "checkout", "--quiet", "--detach", refspec],
            # Not `checkout -b`: it takes no name that begins with a dash, which a push may well make.
            *([[*git, "update-ref", self._event.ref, refspec]] if branch != self._event.ref else ()),
            *([[*git, "symbolic-ref", "HEAD", self._event.ref]] if branch != self._event.ref else ()),
        ):
            subprocess.run(command, check=True, capture_output=True)
        return True

    def _composite(self, directory: Path, arguments: Mapping[str, str]) -> tuple[bool, dict[str, str]]:
        action = load(directory / "action.yml")
        _only(action, {"name", "description", "author", "branding", "inputs", "outputs", "runs"})
        _only(arguments, set(action["inputs"]))
        before = Evaluator({"github": self._github})
        inputs = {
            name: arguments.get(name, before.text(told.get("default", "")))
            for name, told in action["inputs"].items()
        }
        assert action["runs"]["using"] == "composite"
        earlier, self.outcome.succeeded = self.outcome.succeeded, True
        steps = self._steps(action["runs"]["steps"], inputs, directory)
        ended, self.outcome.succeeded = self.outcome.succeeded, earlier
        after = Evaluator({"steps": {name: {"outputs": values} for name, values in steps.items()}})
        return ended, {name: after.text(told["value"]) for name, told in action["outputs"].items()}

    def _script(
        self, step: Mapping[str, Any], given: Mapping[str, str], action: Path | None
    ) -> tuple[bool, dict[str, str]]:
        if "${{" in step["run"]:
            raise UnsupportedError(f"an expression in a script: {step['run']}")
        if step.get("shell", "bash") != "bash" or (action is not None and "shell" not in step):
            raise UnsupportedError("the shell is bash, and a step of an action names it")
        self._count += 1
        script = self._files / f"{self._count}.sh"
        script.write_text(step["run"])
        paths = {
            name: self._files / f"{self._count}.{name.lower()}" for name in ("OUTPUT", "ENV", "PATH", "STATE")
        }
        for path in paths.values():
            path.touch()
        environment = self._environment | dict(given)
        environment |= {f"GITHUB_{name}": str(path) for name, path in paths.items()}
        if action is not None:
            environment["GITHUB_ACTION_PATH"] = str(action)
        bash = BASH if step.get("shell") == "bash" else ["bash", "-e"]
        done = self._launch([*bash, script], self.workspace, environment)
        self._read_log(done.stdout.decode("utf-8", "backslashreplace"))
        self._environment |= _values(paths["ENV"])
        self.outcome.environment |= _values(paths["ENV"])
        assert not paths["PATH"].read_text(), "no step changes the PATH"
        return done.returncode == 0, _values(paths["OUTPUT"])

    def _read_log(self, text: str) -> None:
        """What the runner takes from a step's output, a line at a time: workflow commands, as ActionCommandManager."""
        self.outcome.log += text
        token = ""
        for line in re.split(r"\r\n|\n|\r", text):
            command = re.match(r"\s*::(\S[^ :]*)( [^:]*)?::(.*)", line) or re.search(
                r"##\[(\S+?)( [^\]]*)?\](.*)", line
            )
            if not command:
                continue
            if token:
                token = "" if command[1] == token else token
            elif command[1] == "stop-commands":
                token = command[3]
            elif command[1] in ("error", "warning", "notice"):
                message = command[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
                self.outcome.annotations.append((command[1], message))
            else:
                self.outcome.commands.append(line)


def _values(path: Path) -> dict[str, str]:
    """A file of outputs or variables: name=value, or name<<DELIMITER and lines up to it."""
    values = {}
    lines = iter(path.read_text().splitlines())
    for line in lines:
        name, sign, rest = re.split(r"(=|<<)", line, maxsplit=1)
        if sign == "=":
            values[name] = rest
            continue
        text = []
        for inner in lines:
            if inner == rest:
                break
            text.append(inner)
        values[name] = "\n".join(text)
    return values


def _only(given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := set(given) - known:
        raise UnsupportedError(f"unknown keys {sorted(unknown)}")


def plainly(command: Sequence[str | Path], directory: Path, environment: Mapping[str, str]) -> Any:
    """A Launch on this machine as it is."""
    return subprocess.run(
        list(map(str, command)),
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
    )


def path_with(directory: Path) -> str:
    """A PATH on which the programs in `directory` come first."""
    return f"{directory}:{os.environ['PATH']}"
