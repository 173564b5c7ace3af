"""Docker's command line: taken apart at the right places, put together with a profile; the capabilities it gives."""

import pytest

from seclude.engines import engine_for
from seclude.engines.docker import DockerEngine
from seclude.engines.podman import PodmanEngine
from seclude.errors import EngineError
from seclude.model.capabilities import CAPABILITIES

ENGINE = DockerEngine()


def parse(text):
    return ENGINE.parse(text.split())


@pytest.mark.parametrize("command", ["docker run x", "/usr/bin/docker -D run x", "docker ps", "docker"])
def test_recognised(command):
    assert engine_for(command.split()).name == "docker"


@pytest.mark.parametrize("command", ["dockerd", "docker-compose run x", "sudo docker run x"])
def test_anything_else_is_a_process(command):
    assert engine_for(command.split()).name == "process"


@pytest.mark.parametrize(
    ("command", "options", "verb", "rest"),
    [
        ("docker run debian", "", "run", "debian"),
        ("docker container run --rm -it debian ls /", "", "container run", "--rm -it debian ls /"),
        ("docker -H unix:///s -c far run x", "-H unix:///s -c far", "run", "x"),
        ("docker --host=tcp://h --context run run x", "--host=tcp://h --context run", "run", "x"),
        ("docker --config /c -D -l debug run x", "--config /c -D -l debug", "run", "x"),
        ("docker --tls --tlscacert /ca run x", "--tls --tlscacert /ca", "run", "x"),
        ("docker run run run", "", "run", "run run"),
    ],
)
def test_parts(command, options, verb, rest):
    run = parse(command)
    assert (run.options, run.verb, run.rest) == tuple(tuple(part.split()) for part in (options, verb, rest))
    assert run.command() == command.split()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("docker", "`docker` starts no container"),
        ("docker -H unix:///s ps", "`docker ps` starts no container"),
        ("docker container ls", "`docker container ls` starts no container"),
        ("docker run", "`docker run` names no image"),
    ],
)
def test_what_starts_no_container(command, message):
    with pytest.raises(EngineError) as failure:
        parse(command)
    assert failure.value.message == message
    assert "docker" in failure.value.hint


@pytest.mark.parametrize(
    ("arguments", "detached"),
    [
        ("debian ls -d", False),
        ("-d debian", True),
        ("-itd debian", True),
        ("--detach=false debian", False),
        ("-d --detach=false debian", False),
        ("-d=false debian", False),
        ("--name -d debian", False),
        ("--cap-add X -d debian", True),
        ("-eA=-d debian", False),
        ("-ite A=b -d debian", True),
        ("--use-api-socket -d debian", True),
        ("--rm -- -d", False),
    ],
)
def test_detached(arguments, detached):
    assert parse(f"docker run {arguments}").detached == detached


def test_options_with_their_values():
    given = [
        *parse("docker run -itv /a:/b --rm -eA=b -e=C=d --name=x -u 1 --init=false debian -v /c").given()
    ]
    assert given == [
        *(("-i", ""), ("-t", ""), ("-v", "/a:/b"), ("--rm", ""), ("-e", "A=b"), ("-e", "C=d")),
        *(("--name", "x"), ("-u", "1"), ("--init", "false")),
    ]


def test_enforced():
    run = parse("docker -H unix:///s container run --security-opt no-new-privileges debian ls")
    command = ENGINE.enforced(run, "/p.json", ["--cidfile", "/id"])
    added = "--security-opt seccomp=/p.json --cidfile /id"
    assert command == [
        *f"docker -H unix:///s container run {added} --security-opt no-new-privileges debian ls".split()
    ]


@pytest.mark.parametrize("engine", [DockerEngine(), PodmanEngine()])
@pytest.mark.parametrize(
    "option", ["--security-opt seccomp=x", "--security-opt=seccomp=x", "--security-opt seccomp:x"]
)
def test_another_profile_is_refused(engine, option):
    run = engine.parse(f"{engine.name} run --rm {option} debian".split())
    with pytest.raises(EngineError, match=f"{engine.name} would take .* in place of the profile"):
        engine.enforced(run, "/p.json")


class TestCapabilities:
    def given(self, options):
        return set(ENGINE.capabilities(parse(f"docker run {options} debian"), CAPABILITIES))

    def test_fourteen_by_default(self):
        assert len(self.given("")) == 14

    def test_added_and_dropped(self):
        default = self.given("")
        assert self.given("--cap-add SYS_ADMIN --cap-add=cap_bpf") == default | {"CAP_SYS_ADMIN", "CAP_BPF"}
        assert self.given("--cap-drop=CHOWN") == default - {"CAP_CHOWN"}
        assert self.given("--cap-drop ALL --cap-add KILL") == {"CAP_KILL"}
        assert self.given("--cap-add all --cap-drop SYS_ADMIN") == {*CAPABILITIES} - {"CAP_SYS_ADMIN"}

    def test_all(self):
        assert self.given("--privileged") == {*CAPABILITIES}
        assert len(self.given("--privileged=false")) == 14


@pytest.mark.parametrize(
    ("line", "image"),
    [
        ("docker run debian", "debian"),
        ("docker run --rm -e A=b -it --network none debian:12 ls /", "debian:12"),
        ("docker run -- debian ls", "debian"),
        ("docker run --name=x registry:5000/a@sha256:0 run", "registry:5000/a@sha256:0"),
        ("docker run --name", ""),
        ("docker run --name x", ""),
    ],
)
def test_image(line, image):
    assert parse(line).image == image


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("docker compose up", "runtime: seclude"),
        ("docker compose run web", "runtime: seclude"),
        ("docker build .", "BuildKit"),
        ("docker -H unix:///s buildx build .", "BuildKit"),
        ("docker start build", "give `docker run`"),
        ("docker exec web build", "give `docker run`"),
        ("docker --context build ps", "give `docker run`"),
    ],
)
def test_what_to_do_instead(line, hint):
    with pytest.raises(EngineError, match="starts no container") as failure:
        parse(line)
    assert hint in failure.value.hint
