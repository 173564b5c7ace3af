"""Configuration: where it is found, what it may say, who wins, and errors that show the place."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from seclude.configuration import keys, load
from seclude.engines import ENGINES
from seclude.errors import EXIT_ERROR
from seclude.model.configuration import DENIED, ConfigurationError
from seclude.testruns import RUNS

DOCS = Path(__file__).resolve().parents[2] / "docs"
SMALL = 'image = "localhost/app"\ntest = "./test.sh"\n'
FULL = """\
image = "localhost/app"
build = "podman build -t localhost/app '.'"
engine = "podman"
options = ["--network", "none"]
profile = "seccomp.json"
recordings = ".seclude"
baseline = "runc,crun"
errno = "ENOSYS"
timeout = 60
repeat = 2
keep-for = 3
coverage = "coverage.json"

[[test]]
name = "unit"
run = "./test.sh -v"
[[test]]
run = ["./b.sh", "two words"]

[gate]
deny = ["clone3"]
allow = ["ptrace", "bpf"]
review = ["medium", "execve"]
max-added = 5
min-coverage = 80.5
[[gate.acknowledged]]
call = "mount"
reason = "needed"
expires = "2027-01-31"
[[gate.acknowledged]]
call = "bpf"
reason = "for now"
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repo")
    return tmp_path / "repo"


def read(repository, text=SMALL, **given):
    (repository / "seclude.toml").write_text(text)
    return load(directory=str(repository), **given).configuration


def refusal(repository, text, **given):
    with pytest.raises(ConfigurationError) as failure:
        read(repository, text, **given)
    assert failure.value.exit_code == EXIT_ERROR
    return failure.value


def test_defaults(repository):
    found = read(repository)
    assert (found.image, found.engine, found.build, found.options) == ("localhost/app", "podman", (), ())
    assert [(test.name, test.run) for test in found.tests] == [("./test.sh", ("./test.sh",))]
    assert (found.profile, found.recordings, found.baseline) == ("seccomp.json", ".seclude", "auto")
    assert (found.timeout, found.repeat, found.keep_for) == (600.0, 1, -1)
    assert found.gate.deny == tuple(DENIED.split())
    assert (found.gate.review, found.gate.max_added, found.gate.min_coverage) == (("high",), -1, 0.0)


def test_everything(repository):
    found = read(repository, FULL)
    assert found.build == ("podman", "build", "-t", "localhost/app", ".")
    assert [(test.name, test.run) for test in found.tests] == [
        ("unit", ("./test.sh", "-v")),
        ("./b.sh 'two words'", ("./b.sh", "two words")),
    ]
    assert (found.baseline, found.errno, found.coverage) == ("runc,crun", "ENOSYS", "coverage.json")
    assert (found.timeout, found.repeat, found.keep_for) == (60.0, 2, 3)
    gate = found.gate
    assert set(gate.deny) == set(DENIED.split()) - {"ptrace", "bpf"} | {"clone3"}
    assert gate.review == ("medium", "execve")
    assert (gate.max_added, gate.min_coverage) == (5, 80.5)
    assert [(each.call, each.expires) for each in gate.acknowledged] == [("mount", "2027-01-31"), ("bpf", "")]


class TestEngines:
    @pytest.mark.parametrize("engine", ["podman", "docker"])
    def test_containers_have_an_image(self, repository, engine):
        assert read(repository, SMALL + f'engine = "{engine}"\n').engine == engine
        failure = refusal(repository, f'engine = "{engine}"\ntest = "./test.sh"\n')
        assert (failure.message.splitlines()[0], failure.hint) == (
            "seclude.toml: line 1, column 1: no image is given",
            'image = "localhost/app"',
        )

    @pytest.mark.parametrize("more", ["", 'image = ""\n', "options = []\n"])
    def test_processes_have_none(self, repository, more):
        found = read(repository, f'engine = "process"\ntest = "./test.sh"\n{more}')
        assert (found.engine, found.image, found.options) == ("process", "", ())

    @pytest.mark.parametrize(
        ("more", "column", "name"),
        [('image = "app"', 9, "image"), ("image = 3", 9, "image"), ('options = ["-v"]', 11, "options")],
    )
    def test_what_processes_cannot_have(self, repository, more, column, name):
        failure = refusal(repository, f'engine = "process"\ntest = "./test.sh"\n{more}\n')
        assert failure.message.startswith(
            f"seclude.toml: line 3, column {column}: {name} is given, but the engine is process"
        )
        assert failure.hint == f'leave {name} out, or set engine = "podman" or "docker"'

    def test_an_option_can_take_the_container_away(self, repository):
        failure = refusal(repository, SMALL, overrides={"engine": "process"})
        assert "image is given, but the engine is process" in failure.message
        text = 'engine = "process"\ntest = "./test.sh"\n'
        assert read(repository, text, environment={"SECLUDE_IMAGE": ""}).image == ""
        failure = refusal(repository, text, environment={"SECLUDE_IMAGE": "app"})
        assert failure.message.startswith("SECLUDE_IMAGE: image is given, but the engine is process")
        assert read(repository, text, overrides={"engine": "docker", "image": "app"}).engine == "docker"

    def test_no_file_is_needed(self, repository):
        found = load(directory=str(repository), overrides={"engine": "process", "test": ["./test.sh"]})
        assert (found.path, found.configuration.engine) == ("", "process")
        with pytest.raises(ConfigurationError, match="no configuration"):
            load(directory=str(repository), overrides={"engine": "docker", "test": ["./test.sh"]})


@pytest.mark.parametrize(
    ("test", "names"),
    [
        ('"./test.sh --fast"', ["./test.sh --fast"]),
        ('["./a.sh", "./b.sh -x"]', ["./a.sh", "./b.sh -x"]),
        ('[{ name = "a", run = "x" }, "y"]', ["a", "y"]),
        ('[["sh", "-c", "a && b"]]', ["sh -c 'a && b'"]),
    ],
)
def test_forms_of_tests(repository, test, names):
    found = read(repository, f'image = "a"\ntest = {test}\n')
    assert [each.name for each in found.tests] == names


class TestPlace:
    def test_the_file_wins_over_pyproject(self, repository):
        (repository / "pyproject.toml").write_text('[tool.seclude]\nimage = "b"\ntest = "t"\n')
        assert load(directory=str(repository)).configuration.image == "b"
        assert read(repository).image == "localhost/app"

    def test_above_within_the_repository(self, repository):
        (repository / "seclude.toml").write_text(SMALL)
        (repository / "a" / "b").mkdir(parents=True)
        (repository / "a" / "pyproject.toml").write_text('[project]\nname = "other"\n')
        loaded = load(directory=str(repository / "a" / "b"))
        assert loaded.directory == loaded.root == str(repository)
        assert loaded.path == str(repository / "seclude.toml")

    def test_below_the_root(self, repository):
        (repository / "a").mkdir()
        (repository / "a" / "seclude.toml").write_text(SMALL)
        loaded = load(directory=str(repository / "a"))
        assert (loaded.directory, loaded.root) == (str(repository / "a"), str(repository))

    def test_nothing_above_the_repository(self, repository):
        (repository.parent / "seclude.toml").write_text(SMALL)
        with pytest.raises(ConfigurationError, match="no configuration") as failure:
            load(directory=str(repository))
        assert "seclude init" in failure.value.hint

    def test_nothing_above_without_a_repository(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "seclude.toml").write_text(SMALL)
        with pytest.raises(ConfigurationError, match="no configuration"):
            load(directory=str(tmp_path / "a"))

    def test_named(self, repository):
        (repository / "other.toml").write_text(SMALL)
        loaded = load(str(repository / "other.toml"), directory="/")
        assert loaded.directory == str(repository)
        (repository / "pyproject.toml").write_text("[tool.other]\n")
        with pytest.raises(ConfigurationError, match=r"has no \[tool.seclude\]"):
            load(str(repository / "pyproject.toml"))
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load(str(repository / "none.toml"))

    def test_a_link_out_of_the_repository(self, repository):
        (repository.parent / "secret").write_text("secret = 1\n")
        (repository / "seclude.toml").symlink_to("../secret")
        with pytest.raises(ConfigurationError, match="link out of") as failure:
            load(directory=str(repository))
        assert "secret =" not in str(failure.value)

    def test_a_table_that_is_none(self, repository):
        (repository / "pyproject.toml").write_text("[tool]\nseclude = 3\n")
        with pytest.raises(ConfigurationError, match=r"line 2, column 11: tool.seclude must be a table"):
            load(directory=str(repository))

    def test_too_large(self, repository):
        failure = refusal(repository, SMALL + "#" * keys.LARGEST)
        assert f"larger than {keys.LARGEST} bytes" in failure.message

    def test_without_a_file(self, repository):
        loaded = load(directory=str(repository), overrides={"image": "a", "test": ["x y"]})
        assert (loaded.path, loaded.directory) == ("", str(repository))
        assert loaded.configuration.tests[0].run == ("x", "y")


class TestOrder:
    def test_a_variable_wins_over_the_file_and_an_option_over_both(self, repository):
        variables = {"SECLUDE_IMAGE": "b", "SECLUDE_ENGINE": "podman"}
        assert read(repository, environment=variables).image == "b"
        assert read(repository, environment=variables, overrides={"image": "c"}).image == "c"
        assert read(repository, environment=variables, overrides={"image": None}).image == "b"

    def test_every_kind_in_a_variable(self, repository):
        found = read(
            repository,
            FULL,
            environment={
                "SECLUDE_BUILD": "podman build -f 'my file' .",
                "SECLUDE_OPTIONS": "--network none --env 'A=b c'",
                "SECLUDE_TEST": "./a.sh -v\n\n./b.sh\n",
                "SECLUDE_TIMEOUT": "1.5",
                "SECLUDE_KEEP_FOR": "-1",
                "SECLUDE_DENY": "clone, clone3",
                "SECLUDE_ALLOW": "bpf",
                "SECLUDE_REVIEW": "low",
                "SECLUDE_MAX_ADDED": "7",
                "SECLUDE_MIN_COVERAGE": "12.5",
                "SECLUDE_PROFILE": "other.json",
                "SECLUDE_ERRNO": "",
            },
        )
        assert found.build == ("podman", "build", "-f", "my file", ".")
        assert found.options == ("--network", "none", "--env", "A=b c")
        assert [test.name for test in found.tests] == ["./a.sh -v", "./b.sh"]
        assert (found.timeout, found.keep_for, found.profile, found.errno) == (
            1.5,
            -1,
            "other.json",
            "ENOSYS",
        )
        assert {"clone", "clone3", "ptrace"} <= set(found.gate.deny)
        assert "bpf" not in found.gate.deny
        assert (found.gate.review, found.gate.max_added, found.gate.min_coverage) == (("low",), 7, 12.5)

    def test_a_variable_in_an_error(self, repository):
        failure = refusal(repository, SMALL, environment={"SECLUDE_REPEAT": "often"})
        assert failure.message == "SECLUDE_REPEAT: repeat must be a whole number, not 'often'"

    def test_an_option_in_an_error(self, repository):
        failure = refusal(repository, SMALL, overrides={"gate": {"max-added": -2, "review": None}})
        assert failure.message == "--max-added: gate.max-added is -2; it must be -1 to 1000000"

    def test_unknown_variables_are_noted(self, repository):
        (repository / "seclude.toml").write_text(SMALL)
        environment = {"SECLUDE_IMGE": "x", "SECLUDE_BPFFS": "/a", "SECLUDE_STATE_DIR": "/b", "PATH": "/bin"}
        notes = load(directory=str(repository), environment=environment).notes
        assert notes == ("the variable SECLUDE_IMGE means nothing (did you mean SECLUDE_IMAGE?)",)

    def test_allowing_what_is_allowed_is_noted(self, repository):
        (repository / "seclude.toml").write_text(SMALL + '[gate]\nallow = ["openat"]\n')
        assert load(directory=str(repository)).notes == ("gate.allow: openat is not denied anyway",)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("imge = 1", "line 3, column 1: unknown key 'imge'\n  imge = 1\n  ^", "did you mean image?"),
        ("keep_for = 1", "line 3, column 1: unknown key 'keep_for'", "did you mean keep-for?"),
        ("  'time out' = 1", "line 3, column 3: unknown key \"'time out'\"", "did you mean timeout?"),
        ("max-added = 1", "line 3, column 1: unknown key 'max-added'", "it belongs in [gate]"),
        ("[gate]\nimage = 'a'", "line 4, column 1: unknown key 'gate.image'", "it belongs above all tables"),
        ("[gate]\nmax-add = 1", "line 4, column 1: unknown key 'gate.max-add'", "did you mean max-added?"),
        ("gate.max-add = 1", "line 3, column 6: unknown key 'gate.max-add'", "did you mean max-added?"),
        ('gate."max-add" = 1', "line 3, column 6: unknown key 'gate.max-add'", "did you mean max-added?"),
        (
            "gate = { deny = [], revew = [] }",
            "line 3, column 21: unknown key 'gate.revew'",
            "did you mean review?",
        ),
        ("gate = 1", "line 3, column 8: gate must be a table", "[gate]"),
        ("[gate.deny]\nx = 1", "line 3, column 1: gate.deny must be a list of names, not a table", ""),
        ("timeout = '600'", "line 3, column 11: timeout must be a number, not '600'", ""),
        ("timeout = 0.5", "line 3, column 11: timeout is 0.5; it must be 1 to 604800", ""),
        ("timeout = nan", "line 3, column 11: timeout is nan", ""),
        ("timeout = true", "line 3, column 11: timeout must be a number, not true", ""),
        ("repeat = 0", "line 3, column 10: repeat is 0; it must be 1 to 1000", ""),
        ("repeat = 1.0", "line 3, column 10: repeat must be a whole number, not 1.0", ""),
        ("options = '-v'", "line 3, column 11: options must be a list of strings, not '-v'", ""),
        ("options = ['-v', 3]", "line 3, column 18: options[1] must be a string, not 3", ""),
        ("engine = 'podmn'", "line 3, column 10: unknown engine 'podmn'", "did you mean podman?"),
        ("engine = 'nerdctl'", "line 3, column 10: unknown engine 'nerdctl'", ""),
        ("errno = 'EPREM'", "line 3, column 9: unknown errno 'EPREM'", "EPERM or ENOSYS"),
        ("baseline = 'ru nc;'", "line 3, column 12: 'ru nc;' is no baseline", "auto, none"),
        ("build = 'a && b'", "line 3, column 9: build has '&&', but no shell runs it", '["sh", "-c", "..."]'),
        ('build = "a \'b"', "line 3, column 9: build cannot be split into words: no closing quotation", ""),
        ("build = []", "line 3, column 9: build has no command", ""),
        ('build = ["a\\u0000"]', "line 3, column 10: build[0] has a NUL character", ""),
        ("gate.deny = ['ptrce']", "line 3, column 14: unknown system call 'ptrce'", "did you mean ptrace?"),
        (
            "gate.review = ['hgh']",
            "line 3, column 16: unknown system call 'hgh'",
            "critical, high, medium, low",
        ),
        ("gate.deny = ['bpf']\ngate.allow = ['bpf']", "line 4, column 15: bpf is both in", ""),
        ("gate.max-risk = 1.5", "line 3, column 17: gate.max-risk is 1.5; it must be 0 to 1", ""),
        ("gate.min-coverage = 101", "line 3, column 21: gate.min-coverage is 101; it must be 0 to 100", ""),
        ("a = = 1", "line 3, column 5: invalid value\n  a = = 1\n      ^", ""),
        ('a = "', "line 3, column 6: ", ""),
        ("repeat = 1\nrepeat = 2", "line 4, column 11: cannot overwrite a value", ""),
        ("repeat = 1" + "0" * 5000, "a number has too many digits", ""),
        ("repeat = 1" + "0" * 4000, "repeat is a number of many digits", ""),
        ("x = " + "[" * 5000, "nested too deep", ""),
    ],
)
def test_errors_show_the_place(repository, text, message, hint):
    failure = refusal(repository, SMALL + text + "\n")
    assert failure.message.startswith("seclude.toml: ")
    assert message in failure.message
    assert hint in failure.hint


ACKNOWLEDGED = "[[gate.acknowledged]]\ncall = 'bpf'\nreason = 'x'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[gate.acknowledged]]\ncall = 'bpf'", "line 3, column 8: an acknowledgement has no reason"),
        (
            ACKNOWLEDGED + "expires = '2027-02-30'",
            "line 6, column 11: gate.acknowledged[0].expires is no date",
        ),
        (ACKNOWLEDGED + "expires = '2027-W04-7'", "is no date: '2027-W04-7'"),
        (ACKNOWLEDGED + "expires = 2027-01-31T00:00:00", "is no date"),
        (ACKNOWLEDGED + "until = 1", "line 6, column 1: unknown key 'until' of an acknowledgement"),
        (ACKNOWLEDGED + ACKNOWLEDGED, "line 7, column 8: bpf is acknowledged twice"),
        (
            ACKNOWLEDGED + "[[gate.acknowledged]]\ncall='bfp'\nreason='y'",
            "line 7, column 6: unknown system call",
        ),
        (
            "gate.acknowledged = [{ call = 'bpf', reason = \"a\\nb\" }]",
            "column 47: gate.acknowledged[0].reason has",
        ),
        ("gate.acknowledged = ['bpf']", "line 3, column 22: gate.acknowledged[0] must be a table"),
    ],
)
def test_acknowledgements_are_checked(repository, text, message):
    assert message in refusal(repository, SMALL + text + "\n").message


def test_a_date_of_toml(repository):
    found = read(repository, SMALL + ACKNOWLEDGED + "expires = 2027-01-31\n")
    assert found.gate.acknowledged[0].expires == "2027-01-31"


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ("[]", "line 2, column 8: no test is given"),
        ("[{ name = 'a', run = 'x' }, { name = 'a', run = 'y' }]", "column 36: two tests are called 'a'"),
        ("['x', 'x']", "column 14: two tests are called 'x'"),
        ("[{ name = 'a' }]", "a test has no run"),
        ("[{ run = 'x', nme = 'y' }]", "column 22: unknown key 'nme' of a test"),
        ("[{ run = 'x', name = \"a\\nb\" }]", "test[0].name has control characters"),
        (f"[{{ run = 'x', name = '{'a' * 201}' }}]", "has 201 characters, at most 200"),
        (f"'{'a' * 201}'", "the command cannot be the test's name"),
        ("3", "test must be a command, a list of commands or tables"),
        ("''", "test has no command"),
    ],
)
def test_tests_are_checked(repository, tests, message):
    assert message in refusal(repository, f'image = "a"\ntest = {tests}\n').message


@pytest.mark.parametrize("image", ["", " ", "-v", "a b", "a\\u001bb"])
def test_images_are_checked(repository, image):
    failure = refusal(repository, f'image = "{image}"\ntest = "x"\n')
    assert failure.message.startswith("seclude.toml: line 1, column 9: ")


def test_what_is_needed(repository):
    assert "no image is given" in refusal(repository, "test = 'x'\n").message
    assert "no test is given" in refusal(repository, "image = 'x'\n").message
    assert refusal(repository, "").message == "seclude.toml: line 1, column 1: no image is given"


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        ["/etc/passwd", "../x.json", "a/../../x.json", ".", "a/..", ".git/config", "a/.GIT/x", "out/x.json", "loose",
         "out/../x.json", "a\\u0000b", "a\\nb"],
    )  # fmt: skip
    @pytest.mark.parametrize("key", ["profile", "recordings", "coverage"])
    def test_refused(self, repository, path, key):
        (repository.parent / "elsewhere").mkdir()
        (repository / "out").symlink_to("../elsewhere")
        (repository / "loose").symlink_to("/nowhere/at/all")
        failure = refusal(repository, SMALL + f'{key} = "{path}"\n')
        assert failure.message.startswith("seclude.toml: line 3, column ")

    def test_taken(self, repository):
        (repository / "real").mkdir()
        (repository / "link").symlink_to("real")
        for path, found in (
            ("a/b.json", "a/b.json"),
            ("./a//b.json", "a/b.json"),
            (str(repository / "b.json"), "b.json"),
            ("link/b.json", "link/b.json"),
            ("..b", "..b"),
        ):
            assert read(repository, SMALL + f'profile = "{path}"\n').profile == found

    def test_a_variable_is_no_way_out(self, repository):
        failure = refusal(repository, SMALL, environment={"SECLUDE_PROFILE": "../x"})
        assert failure.message == f"SECLUDE_PROFILE: profile: ../x lies outside of {repository}"


def test_engines_are_registered():
    assert set(keys.ENGINES) == set(ENGINES) == set(RUNS)


class TestDocuments:
    """The table in docs/configuration.md and the schema name the keys that are known, and no others."""

    def test_keys_and_variables(self):
        text = (DOCS / "configuration.md").read_text()
        rows = re.findall(r"^\| `([a-z.-]+)` \| (?:`(\w+)`|none) \| ", text, re.MULTILINE)
        assert rows == [(".".join(key.path), key.variable) for key in keys.KEYS]

    def test_defaults(self, repository):
        text = (DOCS / "configuration.md").read_text()
        rows = re.findall(r"^\| `([a-z.-]+)` \|[^|]*\|[^|]*\| (?:`([^`]*)`|none) \| ", text, re.MULTILINE)
        configuration = read(repository)
        for name, default in rows:
            holder = configuration.gate if name.startswith("gate.") else configuration
            field = name.removeprefix("gate.").replace("-", "_")
            if field in ("deny", "allow"):
                continue
            value = getattr(holder, field)
            shown = (
                " ".join(value)
                if isinstance(value, tuple)
                else f"{value:g}"
                if isinstance(value, float)
                else value
            )
            assert str(shown) == default or (field, shown, default) == ("errno", "", "EPERM")

    def test_denied(self):
        section = (
            (DOCS / "configuration.md").read_text().partition("## Calls that never come in by default")[2]
        )
        assert section.partition("##")[0].split() == DENIED.split()

    def test_example(self, repository):
        text = (DOCS / "configuration.md").read_text().partition("## Keys")[0]
        example = "\n".join(line.strip() for line in text.splitlines() if line.startswith("    ") or not line)
        assert read(repository, example).gate.max_added == 5

    def test_schema_keys(self):
        schema = json.loads((DOCS / "seclude.schema.json").read_text())
        assert list(schema["properties"]) == [key.name for key in keys.TOP] + ["gate"]
        gate = schema["properties"]["gate"]["properties"]
        assert list(gate) == [key.name for key in keys.GATE]
        assert tuple(gate["acknowledged"]["items"]["properties"]) == keys.ACKNOWLEDGED
        assert tuple(schema["$defs"]["test"]["properties"]) == keys.TEST
        assert tuple(schema["properties"]["engine"]["enum"]) == keys.ENGINES

    def check(self, path, *arguments):
        schema = str(DOCS / "seclude.schema.json")
        command = [sys.executable, "-m", "check_jsonschema", *arguments, "--schemafile", schema, str(path)]
        return subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})

    def test_schema_is_one(self):
        schema = DOCS / "seclude.schema.json"
        command = [sys.executable, "-m", "check_jsonschema", "--check-metaschema", str(schema)]
        subprocess.run(command, check=True, capture_output=True)

    def test_samples_fit_the_schema(self, tmp_path):
        example = DOCS.parent / "examples" / "flask-api" / "seclude.toml"
        process = 'engine = "process"\ntest = "./test.sh"\n'
        docker = SMALL + 'engine = "docker"\n'
        samples = {"small": SMALL, "full": FULL, "process": process, "docker": docker}
        for name, text in (samples | {"example": example.read_text()}).items():
            path = tmp_path / f"{name}.json"
            path.write_text(json.dumps(tomllib.loads(text)))
            done = self.check(path)
            assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        "text",
        ["imge = 1", "gate.max-add = 1", "timeout = '1'", "test = []", "profile = ''", "repeat = 0",
         "gate.acknowledged = [{ call = 'bpf' }]", "build = []", "engine = 'x'", "engine = 'process'"],
    )  # fmt: skip
    def test_others_do_not(self, tmp_path, text):
        path = tmp_path / "bad.json"
        base = 'image = "a"\n' + text
        path.write_text(json.dumps(tomllib.loads(base)))
        assert self.check(path).returncode == 1
