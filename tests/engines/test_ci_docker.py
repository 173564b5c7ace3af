"""`seclude ci` with docker: containers are recorded through the runtime, the profile is proved, and none remains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker_bed import IMAGE
from docker_recorder import RUNTIME, DockerRecorder
from podman_bed import Bed, Result

pytestmark = pytest.mark.engine
CONFIGURATION = """
engine = "docker"
image = "{image}"
options = ["--network", "none", {options}]
{more}
[[test]]
name = "first"
run = ["sh", "-c", "{script}"]
"""


@dataclass
class Repository:
    """A directory with a configuration that `seclude ci` reads."""

    directory: Path
    docker: DockerRecorder

    @property
    def profile(self) -> Path:
        return self.directory / "seccomp.json"

    @property
    def report(self) -> dict[str, Any]:
        """What the last run came to."""
        report: dict[str, Any] = json.loads((self.directory / "reports" / "report.json").read_text())
        return report

    def configure(
        self, script: str, more: str = "", options: str = "", image: str = IMAGE, after: str = ""
    ) -> None:
        text = CONFIGURATION.format(image=image, script=script, more=more, options=options)
        (self.directory / "seclude.toml").write_text(text + after)

    def ci(self, *arguments: str, **keywords: Any) -> Result:
        places = ["--config", self.directory / "seclude.toml", "--report-dir", self.directory / "reports"]
        return self.docker.seclude("ci", *places, *arguments, **keywords)


@pytest.fixture
def repository(installed_docker: DockerRecorder, tmp_path: Path) -> Iterator[Repository]:
    """After the test nothing may be registered, pinned or asked for, and no container be there."""
    (tmp_path / ".git").mkdir()
    yield Repository(tmp_path, installed_docker)
    installed_docker.left_nothing()
    installed_docker.bed.wait_for_removal()
    assert not list(tmp_path.glob("*.new"))


def test_the_first_run_writes_and_a_check_is_clean(repository: Repository) -> None:
    repository.configure("ls /")
    done = repository.ci()
    assert done.status == 0, done
    assert {"getdents64", "execve"} <= Bed.allowed(repository.profile)
    for step in ("record first", "verify first", "compare", "write"):
        assert step in done.out, done
    assert "is not known" not in json.dumps(repository.report)
    assert repository.report["unused"] == []
    written = repository.profile.read_bytes()
    done = repository.ci("--check")
    assert (done.status, repository.profile.read_bytes()) == (0, written), done


def test_what_the_tests_do_not_make_is_named(repository: Repository) -> None:
    repository.configure("ls /; mkdir /tmp/made; ls /")
    repository.ci().succeeded()
    repository.configure("ls /")
    repository.ci().succeeded()
    # It was allowed while the test ran, and stays so: keep-for is -1.
    assert "mkdir" in Bed.allowed(repository.profile)
    assert "mkdir" in repository.report["unused"]
    assert ("no-longer-made", "mkdir") in {
        (finding["rule"], finding["call"]) for finding in repository.report["findings"]
    }


def test_the_gate_stops_a_call(repository: Repository) -> None:
    repository.configure("ls /")
    repository.ci().succeeded()
    before = repository.profile.read_bytes()
    repository.configure("ls /; mkdir /tmp/made; ls /", after='[gate]\ndeny = ["mkdir"]\n')
    done = repository.ci()
    assert (done.status, repository.profile.read_bytes()) == (2, before), done
    assert {("gate/deny", "mkdir")} <= {
        (finding["rule"], finding["call"]) for finding in repository.report["findings"]
    }


def test_what_the_new_profile_denies(repository: Repository, tmp_path: Path) -> None:
    """The second run of the container, which is the one under the profile, makes a call that the first does not."""
    repository.configure(
        "ls /; [ -e /kept/once ] && mkdir /tmp/made; touch /kept/once; ls /",
        options=f'"--volume", "{tmp_path}:/kept"',
    )
    done = repository.ci()
    assert (done.status, repository.profile.exists()) == (2, False), done
    assert "mkdir was denied to test 'first' under the new profile" in " ".join(
        finding["message"] for finding in repository.report["findings"]
    )


def test_a_test_that_fails(repository: Repository) -> None:
    repository.configure("ls /; exit 3")
    done = repository.ci()
    assert (done.status, repository.profile.exists()) == (1, False), done
    assert "test 'first' ended with status 3" in done.err


def test_a_test_that_hangs(repository: Repository) -> None:
    """The first process of a container takes no signal that it does not handle: only its engine ends it."""
    repository.configure("sleep 100", more="timeout = 2")
    done = repository.ci()
    assert (done.status, repository.profile.exists()) == (1, False), done
    assert "test 'first' took longer than 2 s" in done.err


def test_a_test_that_hangs_under_the_profile(repository: Repository, tmp_path: Path) -> None:
    repository.configure(
        "[ -e /kept/once ] && sleep 600; touch /kept/once; sleep 0.1",
        more="timeout = 30",
        options=f'"--volume", "{tmp_path}:/kept"',
    )
    done = repository.ci()
    assert (done.status, repository.profile.exists()) == (2, False), done
    assert "verify/status" in {finding["rule"] for finding in repository.report["findings"]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('"--detach"', "a detached container is still running when docker returns"),
        ('"--security-opt", "seccomp=unconfined"', "docker would take `--security-opt seccomp=unconfined`"),
        ('"--runtime", "runc"', "none of seclude's here"),
    ],
)
def test_what_cannot_be_recorded_or_proved_is_refused_before_the_build(
    repository: Repository, options: str, said: str
) -> None:
    repository.configure("ls /", options=options, more=f'build = ["touch", "{repository.directory}/built"]')
    done = repository.ci()
    assert (done.status, said in done.err, repository.profile.exists()) == (1, True, False), done
    assert not (repository.directory / "built").exists()


def test_without_the_runtime(repository: Repository) -> None:
    docker = repository.docker
    repository.configure("ls /", more=f'build = ["touch", "{repository.directory}/built"]')
    whole = docker.config.read_text()
    told = json.loads(whole)
    del told["runtimes"][RUNTIME]
    try:
        docker.config.write_text(json.dumps(told))
        docker.reload()
        done = repository.ci()
    finally:
        docker.config.write_text(whole)
        docker.reload()
    assert (done.status, repository.profile.exists()) == (1, False), done
    assert "docker's engine has no runtime seclude" in done.err
    assert "`seclude runtime install --engine docker`" in done.err
    assert not (repository.directory / "built").exists()


def test_no_image(repository: Repository) -> None:
    repository.configure("ls /", image="seclude/no-such-image:test")
    done = repository.ci()
    assert (done.status, repository.profile.exists()) == (1, False), done
    assert "docker ended with status 125 and nothing was recorded" in done.err
