"""Who belongs to a running container or process: real processes, control groups as engines name them, monitors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seclude.engines import monitor, tree
from seclude.engines.monitor import Monitor, monitor_of
from seclude.engines.tree import Tree, parent_of, tree_of

ID = "0123456789abcdef" * 4


class TestTree:
    def test_descendants(self) -> None:
        script = "sh -c 'sleep 600 & echo $!; wait' & wait"
        with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            last = int(process.stdout.readline())
            found = Tree(first=process.pid).processes()
            parents = [parent_of(last), parent_of(parent_of(last))]
            for pid in found:
                os.kill(pid, 9)
        assert set(found) == {process.pid, last, *parents[:1]}
        assert parents[1] == process.pid

    def test_without_ourselves(self) -> None:
        assert os.getpid() not in Tree(first=os.getpid()).processes()

    def test_a_process_that_has_ended(self) -> None:
        process = subprocess.Popen(["true"])
        process.wait()
        assert Tree(first=process.pid).processes() == ()
        assert parent_of(process.pid) == 0

    @pytest.mark.parametrize(
        ("path", "group"),
        [
            (f"/libpod_parent/libpod-{ID}", f"/libpod_parent/libpod-{ID}"),
            (f"/machine.slice/libpod-{ID}.scope/container", f"/machine.slice/libpod-{ID}.scope"),
            (f"/docker/{ID}", f"/docker/{ID}"),
            (f"/system.slice/docker-{ID}.scope/init.scope", f"/system.slice/docker-{ID}.scope"),
            ("/user.slice", None),
        ],
    )
    def test_control_groups(self, monkeypatch: pytest.MonkeyPatch, path: str, group: str | None) -> None:
        groups = {1: [("4", path)], 2: [("4", f"{group}/below")], 3: [("4", f"{group}x")], 4: [("5", path)]}
        conmon = f"/machine.slice/libpod-conmon-{ID}.scope"
        groups[5] = [("4", conmon)]
        monkeypatch.setattr(tree, "_groups_of", lambda pid: groups.get(pid, []))
        monkeypatch.setattr(tree, "parent_of", lambda pid: 0)
        monkeypatch.setattr(os, "listdir", lambda path: ["1", "2", "3", "4", "5", "self"])
        found = tree_of(1, ID, 0)
        assert found.groups == ((("4", group),) if group else ())
        assert found.processes() == ((1, 2) if group else (1,))

    def test_a_name_with_brackets(self, tmp_path: Path) -> None:
        program = tmp_path / "a) S 1 ("
        program.write_text("#!/bin/sh\necho; read line\n")
        program.chmod(0o755)
        with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()  # a moment before, exec had given it no name yet
            assert parent_of(process.pid) == os.getpid()
            process.communicate(b"\n")


class TestMonitor:
    def said(self, *words: str) -> Monitor:
        """What a process that has these words as its command line is taken to say."""
        script = "import sys, time; print(flush=True); time.sleep(600)"
        with subprocess.Popen(
            ["bash", "-c", 'exec -a "$0" "$@"', words[0], sys.executable, "-c", script, *words[1:]],
            stdout=subprocess.PIPE,
        ) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                found = monitor_of(process.pid)
                if found.bundle.startswith("/proc/"):
                    assert found.bundle == f"/proc/{process.pid}/cwd/../{found.container}"
                return found
            finally:
                process.kill()

    def test_conmon(self) -> None:
        found = self.said("/usr/bin/conmon", "-c", ID, "-u", ID, "-r", "/usr/bin/crun", "-b", "/b/userdata")
        # `python -c SCRIPT` comes first here: its option is not taken for conmon's.
        assert (found.bundle, found.runtime) == ("/b/userdata", "/usr/bin/crun")

    def test_the_shim(self) -> None:
        found = self.said("/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", ID)
        assert (found.container, found.runtime) == (ID, "")
        assert found.bundle.endswith(f"/cwd/../{ID}")

    def test_anything_else(self) -> None:
        assert self.said("python3", "-b", "/etc") == Monitor()
        assert monitor_of(0) == Monitor()

    def test_only_what_root_has_put_there_is_started(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A monitor may be any user's, and its words whatever that user likes."""
        place = tmp_path / "runc"
        place.write_text("#!/bin/sh\n")
        place.chmod(0o755)
        other = tmp_path / "halt"
        other.write_text("")
        linked = tmp_path / "links" / "runc"
        linked.parent.mkdir()
        linked.symlink_to(other)
        owned = os.geteuid() == 0
        assert Monitor(runtime=str(place)).runtime_path == (str(place) if owned else "")
        assert Monitor(runtime=str(other)).runtime_path == ""
        assert Monitor(runtime=str(linked)).runtime_path == ""
        assert Monitor(runtime="runc").runtime_path == ""
        assert Monitor(runtime=str(tmp_path / "none" / "runc")).runtime_path == ""
        place.chmod(0o777)
        assert Monitor(runtime=str(place)).runtime_path == ""
        assert monitor.RUNTIMES == ("runc", "crun")
