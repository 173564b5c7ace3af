"""`seclude ci` on real containers: the profile is made, proved, compared and written, or nothing is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from podman_bed import Bed, Result
from recording import Recorder

pytestmark = pytest.mark.engine
CONFIGURATION = """
image = "{image}"
options = ["--network", "none"]
{more}
[[test]]
name = "first"
run = ["sh", "-c", "{script}"]
"""


@dataclass
class Repository:
    """A directory with a configuration, in which `seclude ci` runs."""

    directory: Path
    recorder: Recorder

    @property
    def profile(self) -> Path:
        return self.directory / "seccomp.json"

    def configure(self, script: str, more: str = "", after: str = "") -> None:
        text = CONFIGURATION.format(image=self.recorder.bed.images["workloads"], script=script, more=more)
        (self.directory / "seclude.toml").write_text(text + after)

    def ci(self, *arguments: str, **keywords: Any) -> Result:
        return self.recorder.seclude("ci", *arguments, cwd=self.directory, **keywords)

    @property
    def allowed(self) -> frozenset[str]:
        return self.recorder.bed.allowed(self.profile)


@pytest.fixture
def repository(recorder: Recorder, tmp_path: Path) -> Iterator[Repository]:
    (tmp_path / ".git").mkdir()
    yield Repository(tmp_path, recorder)
    assert not list(tmp_path.glob("*.new"))


def test_the_first_run_writes_and_the_second_changes_nothing(repository: Repository) -> None:
    repository.configure("ls /")
    done = repository.ci()
    assert done.status == 0, done
    assert {"getdents64", "execve"} <= repository.allowed
    for step in ("record first", "verify first", "compare", "write"):
        assert step in done.out, done
    written = repository.profile.read_bytes()
    done = repository.ci()
    assert (done.status, repository.profile.read_bytes()) == (0, written), done
    assert repository.ci("--check").status == 0


def test_a_new_call_is_named_with_its_test(repository: Repository) -> None:
    repository.configure("ls /")
    repository.ci().succeeded()
    before = repository.allowed
    repository.configure("ls /; mkdir /tmp/made")
    done = repository.ci("--check")
    assert done.status == 2
    assert "mkdir" in done.out
    assert repository.allowed == before
    assert repository.ci().status == 0
    assert repository.allowed >= before | {"mkdir"}


def test_what_is_no_longer_made_stays_and_is_said(repository: Repository) -> None:
    repository.configure("ls /; mkdir /tmp/made")
    repository.ci().succeeded()
    before = repository.profile.read_bytes()
    repository.configure("ls /")
    done = repository.ci()
    assert (done.status, repository.profile.read_bytes()) == (0, before), done
    assert "mkdir" in done.out


def test_what_is_no_longer_made_goes_after_so_many_runs(repository: Repository) -> None:
    repository.configure("ls /; mkdir /tmp/made")
    repository.ci().succeeded()
    repository.configure("ls /", more="keep-for = 1")
    assert repository.ci().status == 0
    assert "mkdir" in repository.allowed
    assert repository.ci().status == 0
    assert "mkdir" not in repository.allowed


def test_the_gate_stops_a_call(repository: Repository) -> None:
    repository.configure("ls /")
    repository.ci().succeeded()
    before = repository.profile.read_bytes()
    repository.configure("ls /; unshare -m true || true")
    done = repository.ci()
    assert (done.status, repository.profile.read_bytes()) == (2, before), done
    assert "unshare" in done.out


def test_a_test_that_fails(repository: Repository) -> None:
    repository.configure("ls /; exit 3")
    done = repository.ci()
    assert (done.status, repository.profile.exists()) == (1, False), done
    assert "test 'first' ended with status 3" in done.err


def test_a_test_that_hangs(repository: Repository) -> None:
    repository.configure("sleep 100", more="timeout = 2")
    done = repository.ci()
    assert (done.status, repository.profile.exists()) == (1, False), done
    assert "test 'first' took longer than 2 s" in done.err


@pytest.mark.parametrize(
    ("build", "said"),
    [("false", "the build ended with status 1"), ("no-such-builder-here x", "the build cannot be started")],
)
def test_a_build_that_fails(repository: Repository, build: str, said: str) -> None:
    repository.configure("ls /", more=f'build = "{build}"')
    done = repository.ci()
    assert (done.status, said in done.err, repository.profile.exists()) == (1, True, False), done


def test_no_configuration(repository: Repository) -> None:
    done = repository.ci()
    assert (done.status, "seclude init" in done.err) == (1, True), done


def test_a_profile_outside_the_repository(repository: Repository) -> None:
    repository.configure("ls /", more='profile = "../seccomp.json"')
    done = repository.ci()
    assert (done.status, "../seccomp.json" in done.err) == (1, True), done
    assert not (repository.directory.parent / "seccomp.json").exists()


def test_a_committed_file_that_is_no_profile(repository: Repository) -> None:
    repository.configure("ls /")
    repository.profile.write_text("{}")
    done = repository.ci()
    assert (done.status, repository.profile.read_text()) == (1, "{}"), done


def test_two_tests_are_told_apart(repository: Repository) -> None:
    repository.configure("ls /", after='[[test]]\nname = "second"\nrun = ["sh", "-c", "mkdir /tmp/made"]\n')
    assert repository.ci("--report-dir", "reports").status == 0
    text = (repository.directory / "reports" / "report.json").read_text()
    report = json.loads(text)
    assert "second" in text
    assert report
    for name in ("report.md", "report.sarif", "comment.md"):
        assert (repository.directory / "reports" / name).stat().st_size > 100


def test_the_gate_on_risk(repository: Repository) -> None:
    """Three tests that are alike: what they say of the next one is that it may be one in so many."""
    more = "".join(f'[[test]]\nname = "{name}"\nrun = ["sh", "-c", "ls /"]\n' for name in ("second", "third"))
    repository.configure("ls /", more="max-risk = 0.1", after=more)
    # A key above the tables is none of the gate's.
    assert repository.ci().status == 1
    repository.configure("ls /", after=f"{more}[gate]\nmax-risk = 0.1\n")
    done = repository.ci("--report-dir", "reports")
    assert (done.status, repository.profile.exists()) == (2, False), done
    assert "max-risk is 0.1" in done.out
    report = json.loads((repository.directory / "reports" / "report.json").read_text())
    assert "gate/risk" in {finding["rule"] for finding in report["findings"]}
    # The option wins over the file. 1 - 0.05^(1/3) is 0.63.
    done = repository.ci("--max-risk", "0.7")
    assert (done.status, repository.profile.exists()) == (0, True), done
    assert repository.ci("--max-risk", "2").status == 1


def test_what_github_reads(repository: Repository) -> None:
    repository.configure("ls /; mkdir /tmp/made")
    summary, outputs = repository.directory / "summary", repository.directory / "outputs"
    environment = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs)}
    done = repository.ci("--github", env=environment)
    assert done.status == 0, done
    told = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    assert (told["profile"], told["changed"], told["denied"]) == ("seccomp.json", "true", "")
    assert "mkdir" in told["added"].split()
    assert "mkdir" in summary.read_text()


def test_the_example(recorder: Recorder, bed: Bed, tmp_path: Path) -> None:
    """The example's own configuration builds its image and writes a profile that means the committed one."""
    example = Path(__file__).resolve().parents[2] / "examples" / "flask-api"
    directory = tmp_path / "flask-api"
    shutil.copytree(example, directory)
    (directory / ".git").mkdir()
    text = (directory / "seclude.toml").read_text()
    base = f"podman build --build-arg BASE={bed.images['programs']}"
    (directory / "seclude.toml").write_text(text.replace("podman build", base))
    (directory / "seccomp.json").unlink()
    done = recorder.seclude("ci", cwd=directory)
    assert done.status == 0, done
    allowed = bed.allowed(directory / "seccomp.json")
    assert not allowed & {"vfork", "clone", "ptrace", "mount", "unshare"}
    # How memory and threads are managed depends on timing; the committed profile keeps what any run has made.
    assert len(bed.allowed(example / "seccomp.json") ^ allowed) <= 6
