"""`seclude init`: what is found, what is written, and that nothing of a repository gets into a workflow as code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from seclude import __version__
from seclude.cli.init import command
from seclude.configuration import load
from seclude.errors import SecludeError
from seclude.initial import detect, github, installed_commit, plan, quoting, write
from seclude.initial.place import Placed

GOLD = Path(__file__).resolve().parents[1] / "gold"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NASTY = "we\"ird' \\ dir: {x} #[a] * `id` \N{GRINNING FACE}"


@pytest.fixture
def repository(tmp_path):
    directory = tmp_path / "Flask_API"
    (directory / ".git").mkdir(parents=True)
    (directory / "Dockerfile").write_text("FROM scratch\n")
    (directory / "test.sh").write_text("#!/bin/sh\n")
    return directory


def invoke(*arguments):
    return CliRunner().invoke(command, [str(each) for each in arguments], standalone_mode=False)


def parsed(text):
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("github", {"system": "github"}),
        ("github-pinned", {"system": "github", "pin": COMMIT}),
        ("self-hosted", {"system": "github", "self_hosted": True, "pin": COMMIT}),
        ("self-hosted-docker", {"self_hosted": True, "pin": COMMIT, "engine": "docker"}),
        ("gitlab", {"system": "gitlab"}),
        ("gitlab-docker", {"system": "gitlab", "engine": "docker"}),
        ("gitlab-process", {"system": "gitlab", "engine": "process"}),
    ],
)
def test_gold(repository, name, options):
    made = plan(str(repository), **options)
    shown = made.files[1].text
    if made.sudoers:
        shown += "\n# The lines for sudo:\n" + made.sudoers
    shown = shown.replace(__version__, "VERSION")
    assert shown == (GOLD / f"init-{name}.yml").read_text()
    engine = f"-{options['engine']}" if "engine" in options else ""
    assert made.files[0].text == (GOLD / f"init-seclude{engine}.toml").read_text()


def test_the_hosted_workflow_is_the_same_for_all_engines(repository):
    """The action reads the engine from seclude.toml, and prepares the runner for it."""
    texts = {
        plan(str(repository), system="github", engine=engine).files[1].text
        for engine in ("podman", "docker", "process")
    }
    assert len(texts) == 1


@pytest.mark.parametrize("below", ["", "services/api", NASTY])
@pytest.mark.parametrize("system", ["github", "gitlab"])
@pytest.mark.parametrize("engine", ["podman", "process"])
def test_schemas(repository, system, below, engine):
    directory = repository / below
    directory.mkdir(parents=True, exist_ok=True)
    if system == "gitlab" and below == NASTY and engine != "process":
        with pytest.raises(SecludeError, match="cannot be named in a sudoers file"):
            plan(str(directory), system=system)
        return
    made = plan(str(directory), system=system, engine=engine)
    write(made)
    schema = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}[system]
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, made.files[1].path]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_self_hosted_workflow_fits_the_schema(repository):
    made = plan(str(repository), self_hosted=True)
    write(made)
    schema = ["--builtin-schema", "vendor.github-workflows", made.files[1].path]
    subprocess.run([sys.executable, "-m", "check_jsonschema", *schema], check=True, capture_output=True)
    workflow = parsed(made.files[1].text)
    assert "pull_request" not in workflow["on"]


@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_what_is_written_can_be_loaded(repository, engine):
    write(plan(str(repository), engine=engine))
    found = load(directory=str(repository)).configuration
    assert (found.engine, found.image) == (engine, "localhost/flask-api")
    assert found.build == (engine, "build", "--tag", "localhost/flask-api", "--file", "Dockerfile", ".")
    assert [(test.name, test.run) for test in found.tests] == [("tests", ("./test.sh",))]


def test_plain_processes_can_be_loaded(repository):
    made = plan(str(repository), engine="process")
    write(made)
    found = load(directory=str(repository)).configuration
    assert (found.engine, found.image, found.build) == ("process", "", ())
    assert [test.run for test in found.tests] == [("./test.sh",)]
    assert not [guess for guess in made.guesses if "image" in guess or "build" in guess]
    assert any("on the machine itself" in check for check in made.checks)


def test_plain_processes_on_gitlab_need_no_root(repository):
    made = plan(str(repository), system="gitlab", engine="process")
    assert "sudo" not in made.files[1].text
    assert "NOPASSWD" not in made.sudoers
    assert not [check for check in made.checks if "sudo" in check]


def test_a_directory_below_the_root(repository):
    directory = repository / NASTY
    directory.mkdir()
    made = plan(str(directory), system="github")
    assert [os.path.relpath(file.path, repository) for file in made.files] == [
        f"{NASTY}/seclude.toml",
        github.PATH,
    ]
    workflow = parsed(made.files[1].text)
    for job in workflow["jobs"].values():
        assert job["steps"][-1]["with"]["config"] == f"{NASTY}/seclude.toml"
    assert workflow["on"]["push"]["paths-ignore"][0] == github.pattern(f"{NASTY}/seccomp.json")
    assert set(workflow["jobs"]) == {"generate-seccomp-filter", "check-seccomp-filter"}


@pytest.mark.parametrize("name", ["${{ github.token }}", "a$(id)", "a\nb", b"\xff"])
def test_directories_that_no_workflow_can_name(repository, name):
    directory = os.path.join(os.fsencode(repository), os.fsencode(name))
    os.mkdir(directory)
    with pytest.raises(SecludeError, match="cannot be named in a workflow"):
        plan(os.fsdecode(directory), system="github")


def test_permissions_and_pins(repository):
    workflow = parsed(plan(str(repository), system="github", pin=COMMIT).files[1].text)
    assert workflow["name"] == "Generate Seccomp Filter"
    assert workflow["permissions"] == {}
    assert workflow["on"]["push"]["paths-ignore"] == ["seccomp.json", ".seclude/**"]
    jobs = workflow["jobs"]
    assert jobs["generate-seccomp-filter"]["permissions"] == {"contents": "write"}
    assert jobs["check-seccomp-filter"]["permissions"] == {"contents": "read", "pull-requests": "read"}
    for job, mode in (("generate-seccomp-filter", "commit"), ("check-seccomp-filter", "check")):
        checkout, ours = jobs[job]["steps"]
        assert checkout["uses"] == f"actions/checkout@{github.CHECKOUT[1]}"
        assert checkout["with"] == {"persist-credentials": False}
        assert (ours["uses"], ours["with"]) == (f"{github.ACTION}@{COMMIT}", {"mode": mode})


def test_inputs_are_the_action_s():
    action = Path(__file__).resolve().parents[2] / "action.yml"
    inputs = set(parsed(action.read_text())["inputs"])
    text = github.self_hosted(
        Placed(root="/r", below="b"), label="l", packages=("p",), seclude="/s", reports="/r", pin=COMMIT
    )
    assert set(parsed(text)["jobs"]["generate-seccomp-filter"]["steps"][-1]["with"]) == {
        "mode", "seclude", "report-dir", "config",
    }  # fmt: skip
    assert inputs >= {"mode", "seclude", "report-dir", "config"}


def test_an_unknown_engine(repository):
    with pytest.raises(SecludeError, match="unknown engine 'lxc'"):
        plan(str(repository), engine="lxc")


class TestDetection:
    @pytest.mark.parametrize(
        ("files", "found"),
        [
            ({}, []),
            ({"test.sh": ""}, ["./test.sh"]),
            ({"pytest.ini": ""}, ["python3 -m pytest"]),
            ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, ["python3 -m pytest"]),
            ({"pyproject.toml": "[tool.pytest"}, []),
            ({"setup.cfg": "[tool:pytest]\n"}, ["python3 -m pytest"]),
            ({"tests/test_a.py": ""}, ["python3 -m pytest"]),
            ({"test_a.py": ""}, ["python3 -m pytest"]),
            ({"package.json": '{"scripts": {"test": "jest"}}'}, ["npm test"]),
            ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, []),
            ({"package.json": "["}, []),
            ({"package.json": '{"scripts": ["test"]}'}, []),
            ({"go.mod": ""}, ["go test ./..."]),
            ({"Cargo.toml": ""}, ["cargo test"]),
            ({"Makefile": "all test: build\n"}, ["make test"]),
            ({"Makefile": "\ttest: x\ntest := 1\n.PHONY: test\n"}, []),
            (
                {"Makefile": "test:\n", "go.mod": "", "test.sh": ""},
                ["./test.sh", "go test ./...", "make test"],
            ),
        ],
    )
    def test_tests(self, tmp_path, files, found):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        assert [" ".join(each.command) for each in detect.look(str(tmp_path)).runners] == found

    def test_containerfiles(self, tmp_path):
        (tmp_path / "Dockerfile").write_text("")
        assert detect.look(str(tmp_path)).containerfile == "Dockerfile"
        (tmp_path / "Containerfile").write_text("")
        around = detect.look(str(tmp_path))
        assert (around.containerfile, around.others) == ("Containerfile", ("Dockerfile",))

    def test_odd_files_are_passed_over(self, tmp_path):
        os.mkfifo(tmp_path / "package.json")
        os.mkfifo(tmp_path / "test.sh")
        (tmp_path / "Makefile").write_bytes(b"\xff")
        (tmp_path / "pyproject.toml").symlink_to("/dev/zero")
        (tmp_path / "Containerfile").mkdir()
        around = detect.look(str(tmp_path))
        assert (around.runners, around.containerfile) == ((), "")

    @pytest.mark.parametrize(
        ("name", "image"),
        [
            ("My App", "my-app"),
            ("$(id)", "id"),
            ("...", "app"),
            ("\N{SNOWMAN}", "app"),
            ("a" * 300, "a" * 100),
        ],
    )
    def test_image(self, name, image):
        assert detect.image_name(name) == f"localhost/{image}"

    def test_no_directory(self, tmp_path):
        with pytest.raises(SecludeError, match="cannot be read"):
            plan(str(tmp_path / "none"))


class TestWriting:
    def test_nothing_is_overwritten(self, repository):
        (repository / "seclude.toml").write_text("mine")
        with pytest.raises(
            SecludeError, match=r"seclude.toml is there already; nothing was written"
        ) as failure:
            write(plan(str(repository), system="github"))
        assert "--force" in failure.value.hint
        assert not (repository / ".github").exists()
        write(plan(str(repository), system="github"), force=True)
        assert "image =" in (repository / "seclude.toml").read_text()
        with pytest.raises(
            SecludeError, match=r"seclude.toml, .github/workflows/seccomp.yml are there already"
        ):
            write(plan(str(repository), system="github"))

    def test_all_or_nothing(self, repository):
        (repository / ".github").mkdir()
        (repository / ".github" / "workflows").write_text("a file")
        with pytest.raises(SecludeError):
            write(plan(str(repository), system="github"))
        assert not (repository / "seclude.toml").exists()

    @pytest.mark.parametrize("link", [".github", ".github/workflows"])
    def test_no_link_is_followed(self, repository, link):
        elsewhere = repository.parent / "elsewhere"
        elsewhere.mkdir()
        (repository / link).parent.mkdir(exist_ok=True)
        (repository / link).symlink_to(elsewhere)
        with pytest.raises(SecludeError, match="symbolic link"):
            write(plan(str(repository), system="github"), force=True)
        assert list(elsewhere.iterdir()) == []
        assert not (repository / "seclude.toml").exists()

    def test_a_pipeline_of_others_stays(self, repository):
        (repository / ".gitlab-ci.yml").write_text("test: {script: make}\n")
        made = plan(str(repository), system="gitlab")
        write(made)
        assert made.files[1].path == str(repository / ".gitlab" / "seccomp.yml")
        assert any("include: [{local: .gitlab/seccomp.yml}]" in check for check in made.checks)
        assert (repository / ".gitlab-ci.yml").read_text() == "test: {script: make}\n"

    def test_pyproject_is_mentioned(self, repository):
        (repository / "pyproject.toml").write_text("[tool.seclude]\nimage = 'a'\n")
        assert any("has [tool.seclude] too" in check for check in plan(str(repository)).checks)


class TestCommand:
    def test_says_what_it_guessed(self, repository):
        done = invoke("--directory", repository, "--ci", "github", "--from-seed-style")
        assert done.return_value == 0
        lines = done.output.splitlines()
        assert lines[:2] == ["wrote    seclude.toml", "wrote    .github/workflows/seccomp.yml"]
        assert "guessed  test: ./test.sh, because of test.sh" in lines
        assert any("pin seclude-project/seclude" in line for line in lines)
        assert any(
            line.startswith("github ALL=(root) NOPASSWD: /usr/local/bin/seclude ci ") for line in lines
        )

    def test_an_engine(self, repository):
        done = invoke("--directory", repository, "--engine", "docker")
        assert done.return_value == 0
        assert "guessed  build: docker build, because of Dockerfile" in done.output.splitlines()
        assert 'engine = "docker"' in (repository / "seclude.toml").read_text()

    def test_json(self, repository):
        done = invoke("--directory", repository, "--json")
        assert json.loads(done.output)["wrote"] == ["seclude.toml"]

    def test_names_are_printed_safely(self, repository):
        (repository / "test.sh").unlink()
        (repository / "test_\x1b[31m\n.py").write_text("")
        output = invoke("--directory", repository).output
        assert "\x1b" not in output
        assert "because of test_\\x1b[31m\\n.py" in output

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--from-seed-style", "--ci", "gitlab"), "is GitHub's"),
            (("--pin", "v1", "--ci", "github"), "'v1' is no commit"),
        ],
    )
    def test_refused(self, repository, options, message):
        done = invoke("--directory", repository, *options)
        assert isinstance(done.exception, SecludeError)
        assert message in done.exception.message
        assert not (repository / "seclude.toml").exists()


@given(st.text())
def test_any_text_as_yaml_is_that_text(text):
    try:
        quoted = quoting.yaml(text)
    except SecludeError:
        assert any(0xD800 <= ord(character) <= 0xDFFF for character in text)
        return
    document = f"a:\n  - {quoted}\n  - b: {quoted} # c\n"
    assert parsed(document) == {"a": [text, {"b": text}]}


@given(st.text())
def test_any_text_as_toml_is_that_text(text):
    try:
        assert tomllib.loads(f"a = [{quoting.toml(text)}]") == {"a": [text]}
    except SecludeError:
        assert any(0xD800 <= ord(character) <= 0xDFFF for character in text)


@given(st.text())
def test_any_name_gives_an_image(name):
    image = detect.image_name(name).removeprefix("localhost/")
    assert image
    assert not set(image) - set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_patterns_are_literal():
    assert github.pattern("a*[b]!/x?+\\") == "a\\*\\[b\\]\\!/x\\?\\+\\\\"
    assert github.pattern("a*/.seclude/**", wild="/**") == "a\\*/.seclude/**"


@pytest.mark.parametrize(
    ("told", "commit"),
    [
        (None, ""),
        ("{}", ""),
        ("[", ""),
        ("[]", ""),
        ({"url": "https://github.com/seclude-project/seclude", "vcs_info": {"commit_id": COMMIT}}, COMMIT),
        ({"url": "https://github.com/seclude-project/seclude", "vcs_info": {"commit_id": "abc"}}, ""),
        ({"url": "https://example.com/fork", "vcs_info": {"commit_id": COMMIT}}, ""),
    ],
)
def test_the_commit_that_is_installed(monkeypatch, told, commit):
    class Distribution:
        def read_text(self, name):
            assert name == "direct_url.json"
            return told if told is None or isinstance(told, str) else json.dumps(told)

    monkeypatch.setattr("seclude.initial.metadata.distribution", lambda name: Distribution())
    assert installed_commit() == commit
