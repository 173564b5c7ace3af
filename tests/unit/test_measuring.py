"""Measuring runtimes: bundles that meet their conditions, and programs that are no runtimes."""

import json
import os
from pathlib import Path

import pytest

from seclude.errors import EngineError, SecludeError
from seclude.formats import oci
from seclude.measuring.bundle import Case, configuration, find_busybox, make_root, process, write_bundle
from seclude.measuring.runtime import OciRuntime, said_version
from seclude.model.baseline import CONDITIONS

HOOK = {"path": "/hook", "args": ["hook"]}


def config(condition, nnp=False):
    return configuration(
        Case(condition=condition, no_new_privileges=nnp), Path("/root"), "/i", HOOK, "/recording"
    )


class TestBundle:
    @pytest.mark.parametrize("condition", list(CONDITIONS)[1:])
    def test_each_condition_differs_from_the_plain_one(self, condition):
        assert config(condition) != config("plain")

    @pytest.mark.parametrize("condition", CONDITIONS)
    def test_each_has_its_hooks_and_a_filter_that_means_something(self, condition):
        made = config(condition)
        assert made["hooks"] == {"createRuntime": [HOOK], "poststop": [HOOK]}
        assert made["annotations"] == {"io.seclude.recording": "/recording"}
        profile = oci.loads(json.dumps(made["linux"]["seccomp"]), "the filter")
        assert profile.default_action == "SCMP_ACT_ALLOW"
        assert made["process"]["noNewPrivileges"] is False
        assert config(condition, nnp=True)["process"]["noNewPrivileges"] is True

    def test_who_enters_is_confined_alike(self):
        entering = process(Case(condition="exec", no_new_privileges=True), ["/bin/true"])
        assert entering == config("exec", nnp=True)["process"] | {"args": ["/bin/true"]}

    def test_any_user_may_read_the_root(self, tmp_path):
        busybox = tmp_path / "busybox"
        busybox.write_bytes(b"x")
        busybox.chmod(0o755)
        root = tmp_path / "bed" / "root"
        make_root(root, str(busybox), "")
        assert all(
            path.is_symlink() or path.stat().st_mode & 0o005 == 0o005 for path in (root, *root.rglob("*"))
        )
        write_bundle(tmp_path / "bundle", config("plain"))
        assert json.loads((tmp_path / "bundle" / "config.json").read_text()) == config("plain")

    def test_busybox(self, tmp_path, monkeypatch):
        script = tmp_path / "busybox"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SecludeError, match="is not static") as failure:
            find_busybox()
        assert "apt-get install busybox-static" in failure.value.hint


class TestProgram:
    def program(self, directory, text):
        path = directory / "runtime"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def test_version(self, tmp_path):
        assert said_version(self.program(tmp_path, "echo runc version 1.3.6+ds1; echo commit: x")) == (
            "runc",
            "1.3.6+ds1",
        )

    @pytest.mark.parametrize(
        "text",
        [
            "true",
            "echo hello",
            "echo runc version",
            "echo runc version latest",
            "echo 'runc version 1.0 '; exit 1",
            "printf 'r\\033nc version 1.0\\n'",
            "printf 'runc version 1.\\0330\\n'",
            "yes runc version $(yes 1 | head -c 200 | tr -d '\\n') | head -1",
        ],
    )
    def test_no_version(self, text, tmp_path):
        with pytest.raises(EngineError, match="--version says") as failure:
            said_version(self.program(tmp_path, text))
        assert "\033" not in str(failure.value)

    def test_no_program(self, tmp_path):
        with pytest.raises(EngineError, match="there is no program '/nowhere/runc'"):
            OciRuntime("/nowhere/runc", tmp_path)
        with pytest.raises(EngineError, match="there is no program 'no-such-runtime'"):
            OciRuntime("no-such-runtime", tmp_path)
        with pytest.raises(EngineError, match="cannot be executed"):
            OciRuntime(str(tmp_path), tmp_path)
        (tmp_path / "plain").write_text("text")
        os.chmod(tmp_path / "plain", 0o644)
        with pytest.raises(EngineError, match="cannot be executed"):
            OciRuntime(str(tmp_path / "plain"), tmp_path)
        (tmp_path / "empty").write_text("text")
        os.chmod(tmp_path / "empty", 0o755)
        with pytest.raises(EngineError, match="Exec format error"):
            OciRuntime(str(tmp_path / "empty"), tmp_path)
