"""`seclude ci` of plain processes: recorded, proved and written without a container, or clearly refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ordinary import Ordinary, ordinary_user
from plain import SECLUDE, confined, run

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="recording takes root"),
]
CONFIGURATION = """
engine = "process"
{more}
[[test]]
name = "first"
run = ["sh", "-c", "{script}"]
{after}
"""


class Repository:
    """A directory with a configuration, in which `seclude ci` runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.profile = directory / "seccomp.json"

    def configure(self, script: str, more: str = "", after: str = "") -> None:
        text = CONFIGURATION.format(script=script, more=more, after=after)
        (self.directory / "seclude.toml").write_text(text)

    def ci(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        words = [*SECLUDE, "ci", "--report-dir", self.directory / "reports", *arguments]
        return run(*words, **{"cwd": self.directory} | options)

    @property
    def report(self) -> dict[str, Any]:
        """What the last run came to."""
        report: dict[str, Any] = json.loads((self.directory / "reports" / "report.json").read_text())
        return report

    @property
    def rules(self) -> set[str]:
        """What the last run found."""
        return {finding["rule"] for finding in self.report["findings"]}

    @property
    def allowed(self) -> frozenset[str]:
        rules = json.loads(self.profile.read_text())["syscalls"]
        return frozenset(name for rule in rules for name in rule["names"])


@pytest.fixture(scope="module")
def user() -> Iterator[Ordinary]:
    """An ordinary user with a readable copy of seclude."""
    with ordinary_user() as made:
        yield made


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    (tmp_path / ".git").mkdir()
    yield Repository(tmp_path)
    assert not list(tmp_path.glob("*.new"))


def test_the_first_run_writes_and_a_check_is_clean(repository: Repository) -> None:
    repository.configure("ls /")
    done = repository.ci()
    assert done.returncode == 0, done
    assert {"getdents64", "execve"} <= repository.allowed
    for step in ("record first", "verify first", "compare", "write"):
        assert step in done.stdout, done
    assert confined(repository.profile, "sh", "-c", "ls /").returncode == 0
    assert confined(repository.profile, "mkdir", repository.directory / "made").returncode != 0
    written = repository.profile.read_bytes()
    done = repository.ci("--check")
    assert (done.returncode, repository.profile.read_bytes()) == (0, written), done
    assert repository.report["unused"] == []


def test_a_new_call_is_named(repository: Repository) -> None:
    repository.configure("ls /; ls /")
    assert repository.ci().returncode == 0
    repository.configure("ls /; mkdir -p made; ls /", after='[gate]\ndeny = ["mkdir"]')
    done = repository.ci("--check")
    assert done.returncode == 2
    assert "gate/deny" in repository.rules
    assert "mkdir" not in repository.allowed


def test_what_the_new_profile_denies(repository: Repository) -> None:
    repository.configure("ls /; [ -e once ] && mkdir made; touch once; ls /")
    done = repository.ci()
    assert (done.returncode, repository.profile.exists()) == (2, False), done
    assert "mkdir was denied to test 'first' under the new profile" in done.stdout


def test_tests_run_where_the_configuration_is(repository: Repository) -> None:
    (repository.directory / "test.sh").write_text("#!/bin/sh\npwd >seen\n")
    (repository.directory / "test.sh").chmod(0o755)
    (repository.directory / "below").mkdir()
    (repository.directory / "seclude.toml").write_text('engine = "process"\ntest = "./test.sh"\n')
    done = repository.ci(cwd=repository.directory / "below")
    assert done.returncode == 0, done
    assert (repository.directory / "seen").read_text() == f"{repository.directory}\n"


def test_the_build_goes_first(repository: Repository) -> None:
    repository.configure("cat made", more='build = ["touch", "made"]')
    assert repository.ci().returncode == 0


def test_no_file_is_needed(repository: Repository) -> None:
    done = repository.ci("--engine", "process", "--test", "ls /")
    assert (done.returncode, repository.profile.exists()) == (0, True), done


def test_the_calls_of_runtimes_are_added_where_they_are_named(repository: Repository) -> None:
    """For a container that shall run under the profile of plain tests."""
    repository.configure("ls /")
    assert repository.ci().returncode == 0
    plain = repository.allowed
    repository.profile.unlink()
    repository.configure("ls /", more='baseline = "runc,crun"')
    assert repository.ci().returncode == 0
    assert repository.allowed >= plain | {"capset", "prctl"}
    repository.configure("ls /", more='baseline = "rnc"')
    done = repository.ci()
    assert (done.returncode, "no baseline for the runtime 'rnc'" in done.stderr) == (1, True), done


def test_a_test_that_fails(repository: Repository) -> None:
    repository.configure("ls /; exit 3")
    done = repository.ci()
    assert (done.returncode, repository.profile.exists()) == (1, False), done
    assert "test 'first' ended with status 3" in done.stderr


@pytest.mark.parametrize(
    "script", ["sleep 100", "(setsid sleep 100 &); exit 0", "trap '' TERM; sleep 100 & wait"]
)
def test_a_test_that_hangs(repository: Repository, script: str) -> None:
    """With all that it has started: a test ends with its last process."""
    repository.configure(script, more="timeout = 1")
    done = repository.ci()
    assert (done.returncode, repository.profile.exists()) == (1, False), done
    assert "test 'first' took longer than 1 s" in done.stderr
    # Nobody but the test's own processes is in its directory.
    assert not [pid for pid in filter(str.isdigit, os.listdir("/proc")) if _is_in(pid, repository.directory)]


def _is_in(pid: str, directory: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(directory)
    except OSError:
        return False


def test_an_interrupted_test(repository: Repository) -> None:
    """Its last process is not waited for then, and what that would have called is not known."""
    repository.configure("(sleep 100 2>/dev/null &); exit 0")
    running = subprocess.Popen(
        [*SECLUDE, "ci"], cwd=repository.directory, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    said = ""
    assert running.stderr
    try:
        for line in running.stderr:
            # Once, though it may have said so again before we have read it.
            if "its descendants have not" in line and "its descendants have not" not in said:
                running.send_signal(signal.SIGINT)
            said += line
        assert running.wait(60) == 1, said
    finally:
        running.kill()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if _is_in(pid, repository.directory):
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    assert "test 'first' was interrupted: no profile is made of a part of it" in said
    assert not repository.profile.exists()


def test_a_test_that_hangs_under_the_profile(repository: Repository) -> None:
    repository.configure("[ -e once ] && sleep 100; touch once; sleep 0.1", more="timeout = 15")
    done = repository.ci()
    assert (done.returncode, repository.profile.exists()) == (2, False), done
    assert "verify/status" in repository.rules


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ('engine = "process"\nimage = "a"\ntest = "ls"', "image is given, but the engine is", "leave image out"),
        ('engine = "proces"\ntest = "ls"', "unknown engine 'proces'", "did you mean process?"),
        ('engine = "process"', "no test is given", "./test.sh"),
        ('engine = "process"\ntest = "podman run app ls"', "runs podman", 'set engine = "podman" and image'),
        ('engine = "process"\ntest = "./no-such-test"', "'./no-such-test' is no command that can be run", "a path"),
    ],
)  # fmt: skip
def test_bad_configuration(repository: Repository, text: str, said: str, hint: str) -> None:
    (repository.directory / "seclude.toml").write_text(text + "\n")
    done = repository.ci()
    assert (done.returncode, repository.profile.exists()) == (1, False), done
    assert said in done.stderr
    assert hint in done.stderr


class TestWithoutRoot:
    """By notify, which names denials as well."""

    @pytest.fixture
    def place(self, user: Ordinary) -> Iterator[Repository]:
        directory = user.home / "repository"
        (directory / ".git").mkdir(parents=True)
        shutil.chown(directory, user.name)
        yield Repository(directory)
        shutil.rmtree(directory)

    def ci(self, user: Ordinary, place: Repository) -> subprocess.CompletedProcess[str]:
        return user.seclude(
            "ci", "--config", place.directory / "seclude.toml", "--report-dir", place.directory / "reports"
        )

    def test_whole(self, user: Ordinary, place: Repository) -> None:
        place.configure("ls /", more="repeat = 2")
        done = self.ci(user, place)
        assert done.returncode == 0, done
        assert {"getdents64", "execve"} <= place.allowed
        notes = " ".join(each["message"] for each in place.report["findings"] if each["rule"] == "note")
        assert "eBPF refused, neither CAP_SYS_ADMIN nor" in notes
        assert "not known" not in notes
        assert self.ci(user, place).returncode == 0
        assert place.report["unused"] == []

    def test_what_the_new_profile_denies(self, user: Ordinary, place: Repository) -> None:
        place.configure("ls /; [ -e once ] && mkdir made; touch once; ls /")
        done = self.ci(user, place)
        assert (done.returncode, place.profile.exists()) == (2, False), done
        assert "mkdir was denied to test 'first' under the new profile" in done.stdout

    def test_a_test_that_hangs_under_the_profile(self, user: Ordinary, place: Repository) -> None:
        place.configure("[ -e once ] && sleep 100; touch once; sleep 0.1", more="timeout = 15")
        done = self.ci(user, place)
        assert (done.returncode, place.profile.exists()) == (2, False), done
        assert "mkdir" not in done.stdout

    def test_a_test_that_hangs(self, user: Ordinary, place: Repository) -> None:
        place.configure("sleep 100", more="timeout = 1")
        done = self.ci(user, place)
        assert (done.returncode, place.profile.exists()) == (1, False), done
        assert "test 'first' took longer than 1 s" in done.stderr
