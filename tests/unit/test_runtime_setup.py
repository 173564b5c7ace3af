"""Engines' configuration files: the runtime goes in, all else stays as it is, and it comes out without a trace."""

import json
import os
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from seclude.enginefiles import FILES
from seclude.enginefiles.containerd import ANNOTATIONS
from seclude.errors import SecludeError
from seclude.launcher import Launcher, is_launcher, read_launcher
from seclude.runtime_setup import KEPT, install, real_runtime, uninstall

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: launchers are root's")

CRI = "io.containerd.grpc.v1.cri"
CONTAINERD = f"""# ours since 2019
version = 2
disabled_plugins = []   # none

[plugins]
  [plugins."{CRI}"]
    sandbox_image = "k8s.gcr.io/pause:3.1"
    [plugins."{CRI}".containerd]
      default_runtime_name = "runc"
      [plugins."{CRI}".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
        [plugins."{CRI}".containerd.runtimes.runc.options]
          SystemdCgroup = true
          # the next table is the last

[plugins."io.containerd.gc.v1.scheduler"]
  pause_threshold = 0.02
"""
DOCKER = """{
\t"log-driver": "journald",
\t"runtimes": {"kata": {"path": "/k", "runtimeArgs": ["-x"]}},
\t"default-runtime": "kata"
}
"""


def target(engine="docker", runtime="/usr/sbin/runc"):
    return Launcher(engine=engine, runtime=runtime, bpffs="/bpf", state="/state dir", policy="/it's")


class Place:
    """A configuration file and a launcher in one directory."""

    def __init__(self, directory, engine):
        self.directory, self.engine = directory, engine
        self.config = directory / "etc" / "config"
        self.launcher = directory / "lib" / "launcher"

    def write(self, text, mode=0o644):
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(text)
        self.config.chmod(mode)
        return self

    def install(self, name="seclude", launcher=None, **more):
        path = str(launcher or self.launcher)
        return install(
            target(self.engine, **more), config=str(self.config), path=path, name=name, package="/a 'b"
        )

    def uninstall(self, name="seclude"):
        return uninstall(self.engine, config=str(self.config), name=name)

    def files(self):
        return sorted(
            str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file()
        )

    def paths(self):
        return FILES[self.engine].paths(self.config.read_text(), "x")


@pytest.fixture(params=sorted(FILES))
def place(request, tmp_path):
    return Place(tmp_path, request.param)


@pytest.fixture
def docker(tmp_path):
    return Place(tmp_path, "docker")


@pytest.fixture
def containerd(tmp_path):
    return Place(tmp_path, "containerd")


@root
class TestEvery:
    def test_where_there_was_no_file(self, place):
        changed = place.install()
        assert changed.files == (str(place.launcher), str(place.config))
        assert changed.notes
        assert place.paths() == {"seclude": str(place.launcher)}
        assert stat.S_IMODE(place.config.stat().st_mode) == 0o644
        assert stat.S_IMODE(place.launcher.stat().st_mode) == 0o755
        assert set(place.uninstall().files) == set(changed.files)
        assert place.files() == []

    def test_again_is_no_change(self, place):
        place.install()
        before = place.config.read_bytes()
        assert place.install().files == (str(place.launcher),)
        assert place.config.read_bytes() == before

    def test_several(self, place):
        place.install()
        other = place.directory / "lib" / "other"
        place.install(name="seclude-crun", launcher=other, runtime="/usr/bin/crun")
        assert set(place.paths()) == {"seclude", "seclude-crun"}
        place.uninstall()
        assert place.paths() == {"seclude-crun": str(other)}
        assert read_launcher(str(other)).runtime == "/usr/bin/crun"
        place.uninstall("seclude-crun")
        assert place.files() == []

    def test_what_is_not_there(self, place):
        assert place.uninstall().files == ()
        place.write("")
        assert place.uninstall().files == ()
        assert place.config.read_text() == ""

    def test_an_empty_file_stays_one(self, place):
        place.write("")
        place.install()
        place.uninstall()
        assert place.files() == ["etc/config"]
        assert place.config.read_text() == ""

    @pytest.mark.parametrize("text", ["{", "a = = b", "[a\n", "\x00"])
    def test_not_understood(self, place, text):
        place.write(text)
        with pytest.raises(SecludeError):
            place.install()
        assert place.files() == ["etc/config"]
        assert place.config.read_text() == text

    @pytest.mark.parametrize("name", ["", "a b", "../x", "runc", "crun", "é", "x" * 65, "a.b", "a/b", '"'])
    def test_no_name(self, place, name):
        with pytest.raises(SecludeError, match="cannot be the name"):
            place.install(name=name)
        assert place.files() == []

    def test_as_closed_as_it_was(self, place):
        place.write({"docker": "{}\n"}.get(place.engine, "version = 2\n# password\n"), mode=0o600)
        place.install()
        for path in place.config.parent.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        place.uninstall()
        assert stat.S_IMODE(place.config.stat().st_mode) == 0o600

    def test_through_a_link(self, place):
        real = place.directory / "real"
        place.config.parent.mkdir()
        real.write_text("{}" if place.engine == "docker" else "version = 2\n")
        before = real.read_text()
        place.config.symlink_to(real)
        place.install()
        assert place.config.is_symlink()
        assert place.paths()
        place.uninstall()
        assert real.read_text() == before

    def test_a_launcher_in_the_place_of_something_else(self, place):
        place.launcher.parent.mkdir()
        place.launcher.write_text("#!/bin/sh\necho precious\n")
        with pytest.raises(SecludeError, match="is no launcher of seclude"):
            place.install()
        assert place.files() == ["lib/launcher"]

    def test_a_launcher_that_is_gone(self, place):
        place.install()
        place.launcher.unlink()
        place.uninstall()
        assert place.files() == []


@root
class TestDocker:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, "until it is restarted"),
            ('{"debug": true}', "until it is restarted"),
            ('{"runtimes": {}}', "systemctl reload docker"),
            ('{"runtimes": {"other": {"path": "/other"}}}', "systemctl reload docker"),
        ],
    )
    def test_what_makes_it_forget_the_runtime(self, docker, text, said):
        if text is not None:
            docker.write(text)
        assert "systemctl reload docker" in docker.install().notes[0]
        assert said in docker.uninstall().notes[0]

    def test_all_else_is_kept_and_comes_back_to_the_byte(self, docker):
        docker.write(DOCKER)
        docker.install()
        after = json.loads(docker.config.read_text())
        expected = json.loads(DOCKER)
        expected["runtimes"]["seclude"] = {"path": str(docker.launcher)}
        assert after == expected
        assert list(after) == list(expected)
        assert '\n\t"log-driver"' in docker.config.read_text()
        assert docker.files() == ["etc/config", f"etc/config{KEPT}", "lib/launcher"]
        docker.uninstall()
        assert docker.config.read_text() == DOCKER
        assert docker.files() == ["etc/config"]

    def test_what_was_changed_since_stays(self, docker):
        docker.write(DOCKER)
        docker.install()
        values = json.loads(docker.config.read_text())
        values["debug"] = True
        docker.config.write_text(json.dumps(values))
        docker.uninstall()
        assert json.loads(docker.config.read_text()) == {**json.loads(DOCKER), "debug": True}
        assert docker.files() == ["etc/config"]

    def test_made_by_us_and_used_by_others_since(self, docker):
        docker.install()
        docker.config.write_text(json.dumps({**json.loads(docker.config.read_text()), "debug": True}))
        docker.uninstall()
        assert json.loads(docker.config.read_text()) == {"debug": True}

    def test_another_runtime_of_the_name(self, docker):
        text = '{"runtimes": {"seclude": {"path": "/bin/sh"}}}'
        docker.write(text)
        with pytest.raises(SecludeError, match="has a runtime seclude that is not seclude's: /bin/sh"):
            docker.install()
        with pytest.raises(SecludeError, match="is not seclude's"):
            docker.uninstall()
        assert docker.files() == ["etc/config"]
        assert docker.config.read_text() == text

    def test_it_is_the_default(self, docker):
        docker.install()
        values = json.loads(docker.config.read_text())
        docker.config.write_text(json.dumps({**values, "default-runtime": "seclude"}))
        before = docker.config.read_bytes()
        with pytest.raises(SecludeError, match="is the default-runtime"):
            docker.uninstall()
        assert docker.config.read_bytes() == before
        assert docker.launcher.exists()

    @pytest.mark.parametrize(
        "text", ['{"runtimes": []}', '{"runtimes": "x"}', '{"a": 1, "a": 2}', "3", '{"a": 1,}']
    )
    def test_no_configuration_of_docker(self, docker, text):
        docker.write(text)
        with pytest.raises(SecludeError):
            docker.install()
        assert docker.config.read_text() == text
        assert docker.files() == ["etc/config"]

    def test_the_place_of_an_error(self, docker):
        docker.write('{\n  "debug": tru\n}\n')
        with pytest.raises(SecludeError, match=r"line 2, column 12(?s:.*)\^"):
            docker.install()


@root
class TestContainerd:
    def test_all_else_is_kept_to_the_line(self, containerd):
        containerd.write(CONTAINERD)
        containerd.install()
        text = containerd.config.read_text()
        assert text.startswith(CONTAINERD)
        runtimes = tomllib.loads(text)["plugins"][CRI]["containerd"]["runtimes"]
        assert runtimes.pop("runc")
        assert runtimes == {
            "seclude": {
                "runtime_type": "io.containerd.runc.v2",
                "pod_annotations": ANNOTATIONS,
                "container_annotations": ANNOTATIONS,
                "options": {"SystemdCgroup": True, "BinaryName": str(containerd.launcher)},
            }
        }
        containerd.uninstall()
        assert containerd.config.read_text() == CONTAINERD
        assert containerd.files() == ["etc/config"]

    def test_version_3(self, containerd):
        table = "plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options"
        text = f"version = 3\n[{table}]\nSystemdCgroup = true\n"
        containerd.write(text)
        containerd.install()
        plugin = tomllib.loads(containerd.config.read_text())["plugins"]["io.containerd.cri.v1.runtime"]
        assert plugin["containerd"]["runtimes"]["seclude"]["options"]["SystemdCgroup"] is True
        containerd.uninstall()
        assert containerd.config.read_text() == text

    @pytest.mark.parametrize("text", ["[plugins.cri]\n", "version = 1\n", "version = 4\n", 'version = "2"\n'])
    def test_other_versions(self, containerd, text):
        containerd.write(text)
        with pytest.raises(SecludeError, match="is of version") as failure:
            containerd.install()
        assert "containerd config migrate" in failure.value.hint
        assert containerd.config.read_text() == text

    def test_written_again_by_another_tool(self, containerd):
        """Without its comments, in another order and indented."""
        containerd.write(CONTAINERD)
        containerd.install()
        name = f"plugins.'{CRI}'.containerd.runtimes"
        containerd.config.write_text(
            f"version = 2\n  [{name}.seclude]\n    runtime_type = 'x'\n    [{name}.seclude.options]\n"
            f"      BinaryName = '{containerd.launcher}'\n  [{name}.seclude-other] # mine\n    runtime_type = 'y'\n"
        )
        containerd.uninstall()
        assert containerd.config.read_text() == (
            f"version = 2\n  [{name}.seclude-other] # mine\n    runtime_type = 'y'\n"
        )

    @pytest.mark.parametrize("inline", ["runtimes = {}", "runtimes.seclude = {}"])
    def test_where_no_table_can_be_added(self, containerd, inline):
        text = f"version = 2\n[plugins.'{CRI}'.containerd]\n{inline}\n"
        containerd.write(text)
        with pytest.raises(SecludeError, match="no table can be added"):
            containerd.install()
        assert containerd.config.read_text() == text
        assert containerd.files() == ["etc/config"]

    def test_a_table_that_cannot_be_told_apart(self, containerd):
        containerd.install()
        inline = f"seclude = {{options = {{BinaryName = '{containerd.launcher}'}}}}"
        text = f"version = 2\n[plugins.'{CRI}'.containerd.runtimes]\n{inline}\n"
        containerd.config.write_text(text)
        with pytest.raises(SecludeError, match="remove it by hand"):
            containerd.uninstall()
        assert containerd.config.read_text() == text

    def test_text_that_looks_like_a_table(self, containerd):
        note = f'\n"""\n[plugins."{CRI}".containerd.runtimes.seclude]\n"""\n'
        containerd.write(f"version = 2\nnote = {note.strip()}\n")
        before = containerd.config.read_text()
        containerd.install()
        with pytest.raises(SecludeError, match="remove it by hand"):
            containerd.uninstall()
        assert tomllib.loads(containerd.config.read_text())["note"] == tomllib.loads(before)["note"]

    def test_it_is_the_default(self, containerd):
        containerd.write(CONTAINERD)
        containerd.install()
        text = containerd.config.read_text().replace(
            'default_runtime_name = "runc"', 'default_runtime_name = "seclude"'
        )
        containerd.config.write_text(text)
        with pytest.raises(SecludeError, match="is the default_runtime_name"):
            containerd.uninstall()
        assert containerd.config.read_text() == text

    def test_a_disabled_plugin_is_said(self, containerd):
        containerd.write('version = 2\ndisabled_plugins = ["cri"]\n')
        assert any("disables the CRI plugin" in note for note in containerd.install().notes)


@root
def test_crio(tmp_path):
    place = Place(tmp_path, "crio")
    place.install(runtime="/usr/bin/crun")
    assert tomllib.loads(place.config.read_text()) == {
        "crio": {
            "runtime": {
                "runtimes": {
                    "seclude": {
                        "runtime_path": str(place.launcher),
                        "runtime_type": "oci",
                        "runtime_root": "/run/crun",
                        "allowed_annotations": ["io.containers.trace-syscall"],
                    }
                }
            }
        }
    }


class TestLauncher:
    def script(self, directory, runtime):
        path = directory / "launcher"
        path.write_text(target(runtime=str(runtime)).text("/no/such package"))
        path.chmod(0o755)
        return path

    @root
    def test_says_what_it_leads_to(self, tmp_path):
        path = self.script(tmp_path, "/usr/sbin/runc")
        assert is_launcher(path.read_text())
        assert read_launcher(str(path)) == target()

    @root
    @pytest.mark.parametrize("harm", ["mode", "owner"])
    def test_that_others_can_change(self, harm, tmp_path):
        path = self.script(tmp_path, "/usr/sbin/runc")
        path.chmod(0o775) if harm == "mode" else os.chown(path, 65534, 65534)
        with pytest.raises(SecludeError, match="can be changed by others than root"):
            read_launcher(str(path))

    @root
    @pytest.mark.parametrize("line", ["{}", '{"version": 2}', '{"version": 1, "engine": 3}', "{", "[]"])
    def test_of_another_version(self, line, tmp_path):
        path = tmp_path / "launcher"
        path.write_text(f"#!/bin/sh\n# seclude-runtime {line}\n")
        path.chmod(0o755)
        with pytest.raises(SecludeError):
            read_launcher(str(path))

    @pytest.mark.parametrize("path", ["/bin/sh", "/etc", "/no/such", "relative", "", "a\0b", "/dev/null"])
    def test_anything_else(self, path):
        assert read_launcher(path) is None

    @pytest.mark.parametrize("words", [["create", "x"], ["state", "a b", "*", ""], []])
    def test_without_our_package_the_real_runtime_is_started(self, words, tmp_path):
        real = tmp_path / "it's real"
        real.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 9\n")
        real.chmod(0o755)
        done = subprocess.run([self.script(tmp_path, real), *words], capture_output=True, text=True)
        plain = subprocess.run([real, *words], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (9, plain.stdout)


class TestRealRuntime:
    def test_by_name_and_path(self, tmp_path, monkeypatch):
        program = tmp_path / "crun"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert real_runtime("crun") == real_runtime(str(program)) == str(program)

    def test_none(self, tmp_path):
        with pytest.raises(SecludeError, match="there is no runtime none"):
            real_runtime("none")

    def test_not_a_launcher(self, tmp_path):
        path = tmp_path / "runc"
        path.write_text(target().text("/p"))
        path.chmod(0o755)
        with pytest.raises(SecludeError, match="is a launcher of seclude"):
            real_runtime(str(path))


def test_places():
    assert {name: Path(file.place).is_absolute() for name, file in FILES.items()} == dict.fromkeys(
        FILES, True
    )
