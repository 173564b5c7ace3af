"""The runtime's own part: whose command line creates what, what a configuration asks for, and hooks put into it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seclude import bundlehooks, hook, runtime
from seclude.bundlehooks import STAGES, with_hooks, write_request
from seclude.errors import SecludeError

SOURCES = Path(__file__).resolve().parents[2] / "src"
HEAVY = (
    "json",
    "re",
    "subprocess",
    "typing",
    "dataclasses",
    "pathlib",
    "enum",
    "ctypes",
    "signal",
    "functools",
)


def loaded(statement):
    program = f"import sys; sys.path.insert(0, {str(SOURCES)!r})\n{statement}\nprint(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", program]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def hooked(config, state="/nowhere", engine="docker", **places):
    return with_hooks(config, engine=engine, places=places, state=state, package="/p")


def asking(value="of:/out", **more):
    return {"ociVersion": "1.0.2", "annotations": {bundlehooks.TRACE: value}, **more}


def in_environment(value, **more):
    return {"process": {"args": ["x"], "env": ["A=1", f"SECLUDE_TRACE={value}", "B=2"]}, **more}


class TestImports:
    def test_nothing_heavy(self):
        assert not {name.partition(".")[0] for name in loaded("import seclude.runtime") - loaded("pass")} & {
            *HEAVY
        }

    def test_a_container_that_asks_for_nothing_loads_no_more(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        words = ["create", "--bundle", str(tmp_path), "x"]
        modules = loaded(f"import seclude.runtime; seclude.runtime.prepare({words!r}, {{}})")
        assert not {"seclude.containers", "seclude.hook", "seclude.trace.ebpf"} & modules
        assert not {name.partition(".")[0] for name in modules - loaded("pass")} & {*HEAVY}

    def test_the_names_are_the_hook_s(self):
        assert bundlehooks.TRACE == hook.ANNOTATION
        assert bundlehooks.RECORDING == hook.RECORDING_ANNOTATION


class TestCommandLine:
    @pytest.mark.parametrize(
        ("words", "path"),
        [
            ("create x", "./config.json"),
            ("create --bundle /b x", "/b/config.json"),
            ("create -b /b --pid-file /p x", "/b/config.json"),
            ("create x --bundle=/b", "/b/config.json"),
            ("create -bundle /b x", "/b/config.json"),
            ("--root /r --log /l --log-format json create --bundle /b --pid-file create x", "/b/config.json"),
            ("--root create --systemd-cgroup run --bundle /b x", "/b/config.json"),
            ("--root=/r --debug create --console-socket --bundle --bundle /b x", "/b/config.json"),
            ("--rootless true --criu criu create -b /b x", "/b/config.json"),
            ("--cgroup-manager=systemd run --config other.json --bundle /b x", "/b/other.json"),
            ("create --bundle /b --config /c/other.json x", "/c/other.json"),
            ("run -f /c/other.json -b /b x", "/c/other.json"),
            ("-- create --bundle /b x", "/b/config.json"),
            ("create --bundle", "./config.json"),
            ("", ""),
            ("--version", ""),
            ("--root", ""),
            ("--root create", ""),
            ("state create", ""),
            ("start run", ""),
            ("delete --force create", ""),
            ("exec --process /p create", ""),
            ("--root /r kill run 9", ""),
            ("features", ""),
        ],
    )
    def test_what_is_created(self, words, path):
        assert runtime.configuration_of(words.split()) == path

    def test_our_own_options_come_first(self):
        arguments = ["--seclude-runtime=/r", "--seclude-engine=docker", "create", "--seclude-x=y"]
        assert runtime.own_options(arguments) == (
            {"runtime": "/r", "engine": "docker"},
            ["create", "--seclude-x=y"],
        )
        for word in ("--seclude-other=x", "--seclude-runtime"):
            with pytest.raises(SecludeError, match="unknown or incomplete option"):
                runtime.own_options([word])


class TestHooks:
    @pytest.mark.parametrize(
        "config",
        [
            {},
            [],
            None,
            {"annotations": {"other": "x"}},
            {"annotations": None, "process": None},
            {"process": {"env": None}},
            {"process": {"env": [1, "A=SECLUDE_TRACE=of:/x", "XSECLUDE_TRACE=of:/x"]}},
            in_environment(""),
            {"annotations": {bundlehooks.TRACE: "of:/x", "io.kubernetes.cri.container-type": "sandbox"}},
            {"annotations": {bundlehooks.TRACE: "of:/x", "io.kubernetes.cri-o.ContainerType": "sandbox"}},
            {"annotations": {"io.seclude.counts": "true"}},
        ],
    )
    def test_nothing_is_asked_for(self, config):
        before = json.dumps(config)
        assert hooked(config) is None
        assert json.dumps(config) == before

    def test_at_the_end_of_their_stages(self):
        given = {"prestart": [{"path": "/a"}], "poststop": [{"path": "/b"}]}
        config = asking(hooks=given, linux={"seccomp": {}})
        before = json.dumps(config)
        changed = hooked(config, **{"--bpffs": "/bpf"})
        assert json.dumps(config) == before
        assert changed["linux"] == config["linux"]
        assert changed["hooks"]["prestart"] == given["prestart"]
        assert changed["hooks"]["poststop"][0] == {"path": "/b"}
        for stage in STAGES:
            entry = changed["hooks"][stage][-1]
            assert entry["path"] == entry["args"][0]
            assert os.path.isabs(entry["path"])
            assert entry["args"][-4:] == ["--bpffs", "/bpf", "--paths-by", "anyone"]

    def test_once_however_often(self):
        once = hooked(asking())
        assert hooked(once) == once

    def test_the_engine_is_ours_to_say(self):
        config = asking()
        config["annotations"]["io.seclude.engine"] = "crio"
        assert hooked(config)["annotations"]["io.seclude.engine"] == "docker"
        assert "io.seclude.engine" not in hooked(config, engine="")["annotations"]

    def test_the_variable(self):
        config = in_environment("of:/out", annotations={"other": "x"})
        changed = hooked(config)
        assert changed["annotations"] == {
            "other": "x",
            bundlehooks.TRACE: "of:/out",
            "io.seclude.engine": "docker",
        }
        assert changed["process"] == {"args": ["x"], "env": ["A=1", "B=2"]}

    def test_the_last_variable_counts(self):
        config = {"process": {"env": ["SECLUDE_TRACE=of:/a", "SECLUDE_TRACE=of:/b"]}}
        changed = hooked(config)
        assert changed["annotations"][bundlehooks.TRACE] == "of:/b"
        assert changed["process"]["env"] == []

    def test_an_annotation_goes_before_the_variable(self):
        changed = hooked(in_environment("of:/b", annotations={bundlehooks.TRACE: "of:/a"}))
        assert changed["annotations"][bundlehooks.TRACE] == "of:/a"
        assert changed["process"]["env"] == ["A=1", "B=2"]


class TestRequests:
    def test_is_trusted_and_replaces_what_others_asked_for(self, tmp_path):
        token = write_request(str(tmp_path), {bundlehooks.RECORDING: "/r", "io.seclude.counts": "true"})
        given = {bundlehooks.TRACE: "of:/etc/passwd", "io.seclude.denials": "true", "other": "x"}
        changed = hooked(in_environment(f"request:{token}", annotations=given), state=str(tmp_path))
        assert changed["annotations"] == {
            "other": "x",
            bundlehooks.RECORDING: "/r",
            "io.seclude.counts": "true",
            "io.seclude.engine": "docker",
        }
        assert changed["hooks"]["poststop"][-1]["args"][-2:] == ["--paths-by", "root"]
        assert changed["process"]["env"] == ["A=1", "B=2"]
        assert (tmp_path / "requests").stat().st_mode & 0o777 == 0o700

    def test_is_over(self, tmp_path):
        config = in_environment(f"request:{'0' * 32}")
        assert hooked(config, state=str(tmp_path)) is None

    @pytest.mark.parametrize("token", ["", "0" * 31, "0" * 33, "../" + "0" * 29, "A" * 32, "0" * 31 + "\n"])
    def test_no_token(self, token, tmp_path):
        with pytest.raises(SecludeError, match="names no request"):
            hooked(in_environment(f"request:{token}"), state=str(tmp_path))

    def test_only_what_asks_for_recordings(self, tmp_path):
        token = write_request(str(tmp_path), {"other": "x", bundlehooks.RECORDING: "/r"})
        changed = hooked(in_environment(f"request:{token}"), state=str(tmp_path))
        assert "other" not in changed["annotations"]

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"version": 2, "annotations": {}}', '{"version": 1}', "x" * 70000]
    )
    def test_not_understood(self, text, tmp_path):
        token = write_request(str(tmp_path), {})
        Path(bundlehooks.request_path(str(tmp_path), token)).write_text(text)
        with pytest.raises(SecludeError):
            hooked(in_environment(f"request:{token}"), state=str(tmp_path))

    @pytest.mark.parametrize("harm", ["link", "mode", "directory", "fifo"])
    def test_not_root_s_own(self, harm, tmp_path):
        token = write_request(str(tmp_path), {bundlehooks.RECORDING: "/r"})
        path = Path(bundlehooks.request_path(str(tmp_path), token))
        if harm == "mode":
            path.chmod(0o666)
        elif harm == "link":
            path.rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")
        else:
            path.unlink()
            os.mkfifo(path) if harm == "fifo" else path.mkdir()
        with pytest.raises(SecludeError):
            hooked(in_environment(f"request:{token}"), state=str(tmp_path))


class TestBundle:
    def prepared(self, bundle, text, mode=0o640):
        bundle.mkdir(exist_ok=True)
        path = bundle / "config.json"
        path.write_text(text)
        path.chmod(mode)
        own = {"engine": "docker", "state-dir": str(bundle / "none"), "policy": "/p"}
        return path, runtime.prepare(["create", "--bundle", str(bundle), "x"], own)

    def test_changed_and_restored(self, tmp_path):
        text = json.dumps(asking(many=[1, 2**64, 1.5, "é\u2028\U0001f600"]), indent=3, ensure_ascii=False)
        path, restore = self.prepared(tmp_path / "b", text)
        changed = json.loads(path.read_text())
        assert changed["many"] == json.loads(text)["many"]
        assert "--policy" in changed["hooks"]["poststop"][0]["args"]
        assert path.stat().st_mode & 0o777 == 0o640
        assert os.listdir(path.parent) == ["config.json"]
        restore()
        assert path.read_text() == text
        assert path.stat().st_mode & 0o777 == 0o640

    @pytest.mark.parametrize(
        "text", ["{}", "", "no JSON", "\xff", '{"a": 1, "a": 2}', '{"process": {"env": ["X=y"]}}']
    )
    def test_left_alone(self, text, tmp_path):
        """What the real runtime refuses by itself is left to it."""
        path, restore = self.prepared(tmp_path / "b", text)
        assert restore is None
        assert path.read_text() == text

    def test_without_a_configuration(self, tmp_path):
        assert runtime.prepare(["create", "--bundle", str(tmp_path / "none"), "x"], {}) is None
        assert runtime.prepare(["state", "x"], {}) is None

    @pytest.mark.parametrize(
        "text", ['{"annotations": {"io.seclude.recording": "/a"', '{"SECLUDE_TRACE": NaN}']
    )
    def test_what_asks_and_is_not_understood(self, text, tmp_path):
        with pytest.raises(SecludeError, match=r"config\.json"):
            self.prepared(tmp_path / "b", text)
        assert (tmp_path / "b" / "config.json").read_text() == text

    def test_a_directory_that_cannot_be_written(self, tmp_path, monkeypatch):
        def refused(*arguments, **options):
            raise PermissionError(13, "denied")

        path, _ = self.prepared(tmp_path / "b", "{}")
        path.write_text(json.dumps(asking()))
        monkeypatch.setattr(os, "rename", refused)
        with pytest.raises(SecludeError, match="cannot be changed: Permission denied"):
            runtime.prepare(["create", "--bundle", str(path.parent), "x"], {})
        assert json.loads(path.read_text()) == asking()
        assert os.listdir(path.parent) == ["config.json"]


class TestProcess:
    """As a process, with a program that tells what it was given for a real runtime."""

    def run(self, directory, *words, own=(), env=None):
        real = directory / "real"
        real.write_text(
            "#!/bin/sh\nprintf '%s\\n' \"$@\"\nenv >&2\ngrep SigIgn /proc/$$/status\n"
            "for file in /proc/$$/fd/*; do echo ${file##*/}; done\nexit 7\n"
        )
        real.chmod(0o755)
        start = (
            f"import sys; sys.path.insert(0, {str(SOURCES)!r}); from seclude.runtime import leave; leave()"
        )
        command = [sys.executable, "-I", "-S", "-c", start, *(own or [f"--seclude-runtime={real}"]), *words]
        environment = {"PATH": os.environ["PATH"]} if env is None else env
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=directory)
        plain = subprocess.run([real, *words], capture_output=True, text=True, env=environment, cwd=directory)
        return done, plain

    @pytest.mark.parametrize(
        "words", [(), ("create", "x"), ("exec", "a b", "", "é", "*", "--", "\n"), ("--version",)]
    )
    def test_everything_passes(self, tmp_path, words):
        done, plain = self.run(tmp_path, *words, env={"PATH": os.environ["PATH"], "A": "é\n=b", "EMPTY": ""})
        assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout) == (7, plain.stdout)
        assert sorted(done.stderr.splitlines()) == sorted(plain.stderr.splitlines())

    def test_refused_with_its_reason_in_the_log(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps(in_environment("request:x")))
        for form in ("json", "text"):
            log = tmp_path / form
            done, _ = self.run(tmp_path, f"--log={log}", "--log-format", form, "create", "x")
            assert done.returncode == 1
            assert "names no request" in done.stderr
            said = log.read_text()
            assert "names no request" in (json.loads(said)["msg"] if form == "json" else said)

    def test_no_real_runtime(self, tmp_path):
        done, _ = self.run(tmp_path, "--version", own=["--seclude-engine=x"], env={"PATH": str(tmp_path)})
        assert (done.returncode, "neither runc nor crun on the PATH" in done.stderr) == (1, True)

    def test_the_first_on_the_path(self, tmp_path):
        (tmp_path / "runc").symlink_to("real")
        done, _ = self.run(
            tmp_path, "a", own=["--seclude-engine=x"], env={"PATH": f"{tmp_path}:/bin:/usr/bin"}
        )
        assert (done.returncode, done.stdout.splitlines()[0]) == (7, "a")
