"""The doctor's checks on made-up machines: files below a fake root, programs that are small scripts."""

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from seclude.cli.doctor import lines, summary
from seclude.doctor import (
    DEGRADED,
    MISSING,
    OK,
    Check,
    diagnose,
    engines,
    hooks,
    kernel,
    launchers,
    libraries,
    look,
    rootless,
    search_path,
)
from seclude.doctor.check import degraded, missing, ok
from seclude.engines.podman import HOOKS_DIRECTORIES, hooks_file
from seclude.errors import SecludeError
from seclude.launcher import DIRECTORY, Launcher

SHARE, ETC = HOOKS_DIRECTORIES
RELEASE = "6.1.0-test"
EVERYBODY = "         0          0 4294967295\n"
ESCAPE = "\x1b]0;owned\x07\x1b[31m"
PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(hooks.__file__))))


def put(root, path, text="", mode=0o644):
    """A file below the fake root, with the directories above it."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(text, bytes):
        file.write_bytes(text)
    else:
        file.write_text(text)
    file.chmod(mode)
    return file


@pytest.fixture
def root(tmp_path):
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def programs(tmp_path):
    """Adds shell scripts to a directory of programs, and gives the search path of that directory alone."""
    directory = tmp_path / "bin"
    directory.mkdir()

    def add(**scripts):
        for name, script in scripts.items():
            path = directory / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        return (str(directory),)

    return add


class TestCheck:
    def test_it_is_frozen_and_compares_by_value(self):
        assert ok("a", "b") == Check(name="a", state=OK, found="b")
        with pytest.raises(AttributeError):
            ok("a", "b").state = MISSING

    @pytest.mark.parametrize(
        ("state", "next_step"), [("fine", ""), (OK, "do"), (DEGRADED, ""), (MISSING, "")]
    )
    def test_only_what_is_well_has_no_next_step(self, state, next_step):
        with pytest.raises(SecludeError):
            Check(name="a", state=state, found="b", next_step=next_step)


class TestKernel:
    @pytest.mark.parametrize(
        ("release", "machine", "state", "said"),
        [
            ("6.18.1-generic", "x86_64", OK, ""),
            ("5.17.0", "aarch64", OK, ""),
            ("5.16.9", "x86_64", DEGRADED, "watch denials"),
            ("5.12.0", "x86_64", DEGRADED, "5.13 or newer"),
            ("4.18.0-553.el8", "x86_64", DEGRADED, "5.13 or newer"),
            ("nonsense", "x86_64", DEGRADED, "5.13"),
            ("6.18.1", "riscv64", MISSING, "x86_64 or aarch64"),
        ],
    )
    def test_release(self, release, machine, state, said):
        check = kernel.release(release, machine)
        assert (check.state, check.found.startswith(f"Linux {release} on {machine}")) == (state, True)
        assert said in check.next_step

    def test_no_btf(self, root):
        check = kernel.btf(str(root))
        assert (check.state, "No such file" in check.found) == (MISSING, True)
        assert "CONFIG_DEBUG_INFO_BTF" in check.next_step

    def test_btf(self, root):
        put(root, kernel.BTF, b"x" * 4096)
        assert kernel.btf(str(root)) == ok("BTF", f"{kernel.BTF}, 4 kB")

    @pytest.mark.parametrize(
        "place", ["/proc/config.gz", f"/boot/config-{RELEASE}", f"/lib/modules/{RELEASE}/config"]
    )
    @pytest.mark.parametrize(
        ("line", "state"),
        [
            ("CONFIG_CHECKPOINT_RESTORE=y", OK),
            ("# CONFIG_CHECKPOINT_RESTORE is not set", DEGRADED),
            ("CONFIG_X=y", DEGRADED),
        ],
    )
    def test_filters(self, root, place, line, state):
        text = f"CONFIG_SECCOMP=y\n{line}\n".encode()
        put(root, place, gzip.compress(text) if place.endswith(".gz") else text)
        check = kernel.filters(str(root), RELEASE)
        assert (check.state, place in check.found) == (state, True)

    @pytest.mark.parametrize("content", [None, b"", b"no gzip", gzip.compress(b"CONFIG_X=y\n" * 99)[:-9]])
    def test_a_configuration_that_cannot_be_read_is_unknown(self, root, content):
        if content is not None:
            put(root, "/proc/config.gz", content)
        check = kernel.filters(str(root), RELEASE)
        assert (check.state, check.found.startswith("unknown")) == (DEGRADED, True)


class TestCapabilities:
    def look(self, root, effective, uid_map=EVERYBODY, namespace="user:[4026531837]"):
        put(root, "/proc/self/status", f"Name:\tx\nCapPrm:\t{2**41 - 1:016x}\nCapEff:\t{effective:016x}\n")
        put(root, "/proc/self/uid_map", uid_map)
        if namespace:
            (root / "proc/self/ns").mkdir()
            (root / "proc/self/ns/user").symlink_to(namespace)
        return kernel.capabilities(str(root))

    @pytest.mark.parametrize(
        ("effective", "found"),
        [
            (2**41 - 1, "CAP_SYS_ADMIN"),
            (1 << 21, "CAP_SYS_ADMIN"),
            (1 << 38 | 1 << 39, "CAP_BPF, CAP_PERFMON"),
        ],
    )
    def test_enough(self, root, effective, found):
        assert self.look(root, effective) == ok("capabilities", found)
        assert kernel.may_mount(str(root)) == ("SYS_ADMIN" in found)

    @pytest.mark.parametrize("effective", [0, 1 << 39, 1 << 38, 2**21 - 1])
    def test_too_few(self, root, effective):
        check = self.look(root, effective)
        assert (check.state, "sudo" in check.next_step) == (MISSING, True)

    @pytest.mark.parametrize(
        ("uid_map", "namespace"),
        [("0 1000 1\n1 100000 65536\n", ""), (EVERYBODY, "user:[4026532211]"), ("", "user:[4026531837]")],
    )
    def test_a_user_namespace(self, root, uid_map, namespace):
        check = self.look(root, 2**41 - 1, uid_map, namespace)
        assert (check.state, "user namespace" in check.found) == (MISSING, True)

    def test_without_the_link_the_map_will_do(self, root):
        assert self.look(root, 2**41 - 1, namespace="").state == OK

    @pytest.mark.parametrize("status", [None, "", "CapEff:\tnonsense\n", "CapEff\n"])
    def test_an_unreadable_status(self, root, status):
        if status is not None:
            put(root, "/proc/self/status", status)
        assert kernel.capabilities(str(root)).state == MISSING
        assert not kernel.may_mount(str(root))


V1 = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"


class TestFileSystems:
    @pytest.mark.parametrize(
        ("mounts", "state", "said"),
        [
            (V2, OK, "version 2"),
            (V1, OK, "version 1"),
            (f"{V1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n", DEGRADED, "hybrid"),
            (f"{V2}cgroup /var/lib/x/cgroup cgroup rw 0 0\n", OK, "version 2"),
            ("", DEGRADED, "none"),
            ("nonsense\n\n \n", DEGRADED, "none"),
        ],
    )
    def test_cgroups(self, root, mounts, state, said):
        put(root, "/proc/self/mounts", mounts)
        check = kernel.cgroups(str(root))
        assert (check.state, said in check.found) == (state, True)

    def test_tracefs(self, root):
        assert "not mounted" in kernel.tracing_file_system(str(root)).found
        put(root, "/proc/self/mounts", "tracefs /sys/kernel/debug/tracing tracefs rw 0 0\n")
        assert "mounted at /sys/kernel/debug/tracing" in kernel.tracing_file_system(str(root)).found

    def bpffs(self, root, path="/sys/fs/bpf", supported=True, exists=True, mountable=True):
        put(root, "/proc/filesystems", "nodev\tproc\n\text4\n" + ("nodev\tbpf\n" if supported else ""))
        if exists:
            (root / path.lstrip("/")).mkdir(parents=True)
        return kernel.bpf_file_system(str(root), path, mountable=mountable)

    def test_bpffs_that_a_recording_mounts(self, root):
        check = self.bpffs(root)
        assert (check.state, check.next_step) == (DEGRADED, "run `mount -t bpf bpf /sys/fs/bpf`")

    @pytest.mark.parametrize(
        "options", [{"supported": False}, {"exists": False}, {"path": "/elsewhere"}, {"mountable": False}]
    )
    def test_bpffs_that_cannot_be_had(self, root, options):
        assert self.bpffs(root, **options).state == MISSING


class TestLibraries:
    def test_libraries_that_are_not_installed(self):
        assert libraries.libbpf("libnone.so.9").state == MISSING
        assert libraries.libseccomp("x86_64", "libnone.so.9").state == DEGRADED  # recording does without

    def test_a_library_of_another_kind(self):
        assert libraries.libbpf("libc.so.6").state == MISSING
        assert libraries.libseccomp("x86_64", "libc.so.6").state == DEGRADED

    def test_no_recorder(self, tmp_path):
        check = libraries.recorder(str(tmp_path / "none.o"))
        assert (check.state, check.next_step) == (MISSING, "reinstall seclude")

    def test_the_recorder_is_not_tried_without_capabilities(self, tmp_path):
        put(tmp_path, "recorder.o", "no ELF")
        assert libraries.recorder(str(tmp_path / "recorder.o"), capable=False).state == OK

    def test_a_recorder_that_is_none(self, tmp_path):
        put(tmp_path, "recorder.o", "no ELF")
        assert libraries.recorder(str(tmp_path / "recorder.o")).state == MISSING

    def test_a_new_libseccomp(self):
        assert libraries.judge_libseccomp((2, 6, 1), [], "") == ok("libseccomp", "2.6.1, names every call")

    def test_a_libseccomp_that_weakens_filters(self):
        check = libraries.judge_libseccomp((2, 6, 0), [], "it merges wrongly")
        assert (check.state, "GHSA-4q85-33p6-j5g6" in check.next_step) == (DEGRADED, True)
        assert check.found == "2.6.0, merges comparisons of 64 bits wrongly"

    def test_an_old_libseccomp_that_the_distribution_has_mended(self):
        assert libraries.judge_libseccomp((2, 5, 4), [], "").state == OK

    def test_unnamed_calls_are_listed_up_to_a_bound(self):
        check = libraries.judge_libseccomp((3, 0, 0), [f"call{number}" for number in range(500)], "")
        assert "cannot name 500 calls: call0 call1" in check.found
        assert check.found.endswith(f"call{libraries.SHOWN - 1} and {500 - libraries.SHOWN} more")
        assert "GHSA" not in check.next_step

    def test_nothing_pinned(self, tmp_path):
        assert libraries.pinned(str(tmp_path), str(tmp_path)).state == OK
        assert libraries.pinned(str(tmp_path / "none"), str(tmp_path)).state == OK

    def test_half_a_recorder(self, tmp_path):
        (tmp_path / "seclude").mkdir()
        check = libraries.pinned(str(tmp_path), str(tmp_path))
        assert (check.state, "seclude hook gc" in check.next_step) == (DEGRADED, True)

    def test_what_is_pinned_by_nobody_we_know(self, tmp_path):
        put(tmp_path, "seclude/meta", "no map")
        assert libraries.pinned(str(tmp_path), str(tmp_path)).state == DEGRADED


class TestPrograms:
    def test_one_file_by_several_ways_is_one(self, tmp_path):
        put(tmp_path, "a/x", "", 0o755)
        (tmp_path / "b").symlink_to("a")
        (tmp_path / "c").mkdir()
        (tmp_path / "c/x").symlink_to("../a/x")
        put(tmp_path, "d/x", "", 0o644)
        (tmp_path / "e/x").mkdir(parents=True)
        search = tuple(str(tmp_path / name) for name in "abcde")
        assert look.programs("x", search) == (f"{tmp_path}/a/x",)

    def test_relative_directories_are_not_searched(self):
        assert search_path(".:bin::/usr/bin:/usr/bin") == (
            "/usr/bin",
            "/usr/local/sbin",
            "/usr/sbin",
            "/sbin",
        )

    def test_output_is_bounded(self, programs):
        (directory,) = programs(flood="yes")
        answer = look.ask((f"{directory}/flood",), 6000)
        assert (answer.status, len(answer.text)) == (-1, look.LONGEST_ANSWER)

    def test_time_is_bounded(self, programs):
        (directory,) = programs(
            late="sleep 6000", closed="exec >&- 2>&-; sleep 6000", child="sleep 6000 & echo 1.2"
        )
        for name, seconds, status in (("late", 0.3, -1), ("closed", 0.3, -1), ("child", 10, 0)):
            answer = look.ask((f"{directory}/{name}",), seconds)
            assert answer.status == status
            assert answer.text == ("no answer within 0.3 s" if status else "1.2\n")

    def test_no_child_is_left(self, programs, tmp_path):
        (directory,) = programs(parent=f"sleep 6000 >&- 2>&- & echo $! > {tmp_path}/pid; echo 1.2")
        look.ask((f"{directory}/parent",), 60)
        pid = int((tmp_path / "pid").read_text())
        for _ in range(3000):
            state = look.contents("", f"/proc/{pid}/stat").rpartition(")")[2].split()[:1]
            if state in ([], ["Z"]):
                return
            time.sleep(0.02)
        pytest.fail("the child is still running")

    def test_what_cannot_be_run(self, tmp_path):
        put(tmp_path, "x", "no program", 0o755)
        assert look.ask((str(tmp_path / "x"),), 1).status == -1
        assert look.ask((str(tmp_path / "none"),), 1).status == -1

    @pytest.mark.parametrize(
        ("text", "version"),
        [
            ("podman version 4.3.1\n", "4.3.1"),
            ("Docker version 28.2.2, build e6534b4", "28.2.2"),
            ("runc version 1.1.5+ds1\ncommit: 1.1.5", "1.1.5+ds1"),
            ("containerd github.com/containerd/containerd v1.7.2 abc", "1.7.2"),
            ("time=now level=warning\ncrun version 1.8.1", "1.8.1"),
            ("no version", ""),
            ("", ""),
            ("1.", ""),
            ("\n" * 5000 + "1.2", ""),
        ],
    )
    def test_versions(self, text, version):
        assert engines.version_in(text) == version


class TestEngines:
    def test_none_at_all(self):
        assert engines.podman((), 1).state == DEGRADED
        assert engines.docker((), 1).state == OK
        assert engines.containerd((), 1).state == OK
        assert [check.state for check in engines.runtimes((), 1)] == [DEGRADED, DEGRADED]

    def test_podman(self, programs):
        search = programs(podman="echo podman version 5.1.0")
        assert engines.podman(search, 60) == ok("podman", f"5.1.0 ({search[0]}/podman)")

    def test_one_runtime_will_do(self, programs):
        search = programs(runc='printf "runc version 1.2.3\\nspec: 1.2\\nlibseccomp: 2.5.5\\n"')
        runc, crun = engines.runtimes(search, 60)
        assert runc == ok("runc", f"1.2.3 ({search[0]}/runc), with libseccomp 2.5.5")
        assert crun == ok("crun", "not installed; another runtime is")

    @pytest.mark.parametrize(("other", "state"), [("1.1", OK), ("1.9", DEGRADED)])
    def test_several_of_a_name(self, tmp_path, other, state):
        put(tmp_path, "a/runc", "#!/bin/sh\necho runc version 1.1\n", 0o755)
        put(tmp_path, "b/runc", f"#!/bin/sh\necho runc version {other}\n", 0o755)
        check = engines.runtimes((f"{tmp_path}/a", f"{tmp_path}/b"), 60)[0]
        assert check.state == state
        assert check.found == f"1.1 ({tmp_path}/a/runc); also {other} ({tmp_path}/b/runc)"

    @pytest.mark.parametrize("script", ["exit 3", "echo what", "kill -9 $$", "echo no >&2; exit 1"])
    def test_a_program_that_is_broken(self, programs, script):
        search = programs(podman=script, docker=script, containerd=script, runc=script)
        said = {
            "exit 3": "nothing (status 3)",
            "echo what": "what (status 0)",
            "echo no >&2; exit 1": "no (status 1)",
        }
        assert said.get(script, "") in engines.podman(search, 60).found
        for check in (
            engines.podman(search, 60),
            engines.docker(search, 60),
            engines.containerd(search, 60),
            engines.runtimes(search, 60)[0],
        ):
            assert (check.state, "--version: " in check.found) == (DEGRADED, True)

    def test_a_client_without_an_engine(self, programs):
        script = "[ $1 = --version ] && { echo Docker version 28.2.2, b; exit; }; echo; echo Cannot connect >&2; exit 1"
        check = engines.docker(programs(docker=script), 60)
        assert (check.state, "no engine answers: Cannot connect" in check.found) == (DEGRADED, True)
        assert "systemctl start docker" in check.next_step

    def test_an_engine_that_does_not_answer(self, programs):
        script = "[ $1 = --version ] && { echo Docker version 28.2.2; exit; }; sleep 100"
        check = engines.docker(programs(docker=script), 0.5)
        assert (check.state, "no answer within 0.5 s" in check.found) == (DEGRADED, True)

    def test_an_engine(self, programs):
        script = "[ $1 = --version ] && { echo Docker version 28.2.2; exit; }; echo 27.1.0"
        check = engines.docker(programs(docker=script), 60)
        assert (check.state, check.found.endswith(", engine 27.1.0")) == (OK, True)

    def test_podman_under_the_name_of_docker(self, programs):
        check = engines.docker(programs(docker="echo podman version 4.3.1"), 60)
        assert (check.state, "podman under this name" in check.found) == (OK, True)

    def test_hostile_output_comes_out_harmless(self, programs):
        script = f"printf 'runc version 1.1{ESCAPE}\\nlibseccomp: 2{ESCAPE}\\n'"
        check = engines.runtimes(programs(runc=script), 60)[0]
        assert "\x1b" in check.found
        assert all(line.isprintable() for line in lines((check,)))


def ours(program="/usr/bin/python3"):
    entry = json.loads(hooks_file({"--state-dir": "/run/seclude"}, PACKAGE))
    entry["hook"]["path"] = program
    return json.dumps(entry)


def other(program="/usr/libexec/other", annotation="^other$"):
    hook = {"path": program, "args": ["x"]}
    return json.dumps(
        {
            "version": "1.0.0",
            "hook": hook,
            "when": {"annotations": {annotation: ".*"}},
            "stages": ["prestart"],
        }
    )


class TestHooks:
    DEFAULT = hooks.Directories(read=(SHARE,), asked=True)
    BOTH = hooks.Directories(read=(SHARE, ETC), asked=True)

    @pytest.fixture(autouse=True)
    def python(self, root):
        put(root, "/usr/bin/python3", "", 0o755)

    def test_none(self, root):
        mine, others = hooks.checks(str(root), self.DEFAULT)
        assert (mine.state, others) == (OK, ok("other hooks", "none"))
        assert "not installed" in mine.found

    def test_ours(self, root):
        put(root, f"{SHARE}/seclude.json", ours())
        assert hooks.checks(str(root), self.DEFAULT)[0] == ok("hook", f"{SHARE}/seclude.json")

    def test_the_later_directory_masks(self, root):
        for directory in HOOKS_DIRECTORIES:
            put(root, f"{directory}/seclude.json", ours())
        check = hooks.checks(str(root), self.BOTH)[0]
        assert (check.state, check.found) == (DEGRADED, f"{ETC}/seclude.json masks {SHARE}/seclude.json")
        assert f"uninstall --hooks-dir {SHARE}" in check.next_step
        reverse = hooks.Directories(read=(ETC, SHARE), asked=True)
        assert hooks.checks(str(root), reverse)[0].found == f"{SHARE}/seclude.json masks {ETC}/seclude.json"

    def test_a_directory_that_podman_does_not_read(self, root):
        put(root, f"{ETC}/seclude.json", ours())
        check = hooks.checks(str(root), self.DEFAULT)[0]
        assert (check.state, f"{ETC}/seclude.json: not read" in check.found) == (DEGRADED, True)
        assert f"seclude hook install --hooks-dir {SHARE}" in check.next_step
        put(root, f"{SHARE}/seclude.json", ours())
        assert hooks.checks(str(root), self.DEFAULT)[0].state == OK

    def test_no_directory_is_read(self, root):
        put(root, f"{SHARE}/seclude.json", ours())
        check = hooks.checks(str(root), hooks.Directories(read=(), asked=True))[0]
        assert (check.state, "containers.conf" in check.next_step) == (DEGRADED, True)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "seclude.json"),
            ("[]", "names no hook"),
            (ours("/usr/bin/gone"), "cannot be run"),
            (ours().replace(repr(PACKAGE), "'/opt/elsewhere'"), "another installation"),
            ("[" * 100_000, "seclude.json"),
        ],
    )
    def test_ours_is_broken(self, root, text, said):
        put(root, f"{SHARE}/seclude.json", text)
        check = hooks.checks(str(root), self.DEFAULT)[0]
        assert (check.state, said in check.found) == (DEGRADED, True)
        assert "seclude hook install" in check.next_step

    @pytest.mark.parametrize(
        "text",
        [
            other("/usr/libexec/oci/hooks.d/oci-seccomp-bpf-hook"),
            other(annotation="^io\\.containers\\.trace-syscall$"),
            json.dumps({"hook": "/x/oci-seccomp-bpf-hook", "annotations": ["a"], "stages": ["prestart"]}),
        ],
    )
    def test_the_peer_is_installed_too(self, root, text):
        put(root, f"{SHARE}/oci-seccomp-bpf-hook.json", text)
        check = hooks.checks(str(root), self.DEFAULT)[1]
        assert (check.state, "remove one of them" in check.next_step) == (DEGRADED, True)

    def test_a_masked_peer_does_not_count(self, root):
        put(root, f"{SHARE}/p.json", other("/x/oci-seccomp-bpf-hook"))
        put(root, f"{ETC}/p.json", other())
        check = hooks.checks(str(root), self.BOTH)[1]
        assert check == ok("other hooks", f"1 in what podman reads; {ETC}/p.json masks {SHARE}/p.json")
        assert hooks.checks(str(root), self.DEFAULT)[1].state == DEGRADED

    def test_a_file_at_which_podman_fails(self, root):
        put(root, f"{SHARE}/x.json", "{")
        put(root, f"{SHARE}/README", "{")
        check = hooks.checks(str(root), self.DEFAULT)[1]
        assert (check.state, "no container" in check.next_step) == (DEGRADED, True)
        assert "README" not in check.found

    def test_what_is_no_file(self, root):
        (root / SHARE[1:] / "d.json").mkdir(parents=True)
        os.mkfifo(root / SHARE[1:] / "f.json")
        (root / SHARE[1:] / "l.json").symlink_to("nowhere")
        assert hooks.checks(str(root), self.DEFAULT)[1].state == DEGRADED

    def test_a_hostile_name(self, root):
        put(root, f"{SHARE}/{ESCAPE}\n.json", "{")
        put(root, f"{SHARE}/" + os.fsdecode(b"\xff.json"), "{")
        checks = hooks.checks(str(root), self.DEFAULT)
        assert all(line.isprintable() for line in lines(checks))

    @pytest.mark.parametrize(
        ("line", "read", "asked"),
        [
            (
                "      --hooks-dir strings   Set it (default [/usr/share/containers/oci/hooks.d])",
                (SHARE,),
                True,
            ),
            ("      --hooks-dir strings   Set it (default [/a b,/c])", ("/a b", "/c"), True),
            ("      --hooks-dir strings   Set it", (), True),
            ("      --help", (SHARE,), False),
        ],
    )
    def test_podman_says_what_it_reads(self, programs, line, read, asked):
        search = programs(podman=f"echo '{line}'")
        assert hooks.directories(search, 5) == hooks.Directories(read=read, asked=asked)

    def test_without_podman_it_is_the_default(self, root):
        assert hooks.directories((), 5) == hooks.Directories(read=(SHARE,), asked=False)
        assert "as far as can be told" in hooks.checks(str(root), hooks.directories((), 5))[0].found


class TestRootless:
    @pytest.fixture
    def machine(self, root, programs):
        search = programs(newuidmap="", newgidmap="")
        for name in ("newuidmap", "newgidmap"):
            os.chmod(os.path.join(search[0], name), 0o4755)
        for file in ("/etc/subuid", "/etc/subgid"):
            put(root, file, "# users\nalice:100000:65536\n1001:200000:65536\nbroken\n")
        put(root, "/proc/sys/user/max_user_namespaces", "9999\n")
        put(root, "/proc/sys/kernel/unprivileged_bpf_disabled", "2\n")
        return str(root), search

    def test_possible(self, machine):
        check = rootless.check(*machine)
        assert (check.state, "(alice, 1001)" in check.found) == (OK, True)
        assert "unprivileged_bpf_disabled 2" in check.found

    @pytest.mark.parametrize("user", [("alice", "1000"), ("bob", "1001")])
    def test_of_a_user_with_ranges(self, machine, user):
        assert rootless.check(*machine, user).state == OK

    def test_of_a_user_without(self, machine):
        check = rootless.check(*machine, ("carol", "1002"))
        assert (check.state, "no ranges for carol in /etc/subuid" in check.found) == (DEGRADED, True)
        assert check.next_step.count("usermod") == 1

    @pytest.mark.parametrize(
        ("knob", "value"),
        [
            ("kernel/unprivileged_userns_clone", "0"),
            ("kernel/apparmor_restrict_unprivileged_userns", "1"),
            ("user/max_user_namespaces", "0"),
        ],
    )
    def test_no_user_namespaces(self, machine, root, knob, value):
        put(root, f"/proc/sys/{knob}", value)
        check = rootless.check(*machine)
        assert (check.state, f"sysctl -w {knob.replace('/', '.')}=" in check.next_step) == (DEGRADED, True)

    def test_no_tools(self, machine):
        check = rootless.check(machine[0], ())
        assert (check.state, "no newuidmap; no newgidmap" in check.found) == (DEGRADED, True)

    def test_tools_without_privilege(self, machine):
        os.chmod(os.path.join(machine[1][0], "newuidmap"), 0o755)
        assert "has no privilege" in rootless.check(*machine).found

    def test_no_user_notification(self, machine, root):
        put(root, "/proc/sys/kernel/seccomp/actions_avail", "kill_thread errno allow\n")
        check = rootless.check(*machine)
        assert (check.state, "no user notification" in check.found) == (DEGRADED, True)
        put(root, "/proc/sys/kernel/seccomp/actions_avail", "kill_thread errno user_notif allow\n")
        assert rootless.check(*machine).state == OK

    def test_nothing_can_be_read(self, root):
        check = rootless.check(str(root))
        assert (check.state, "unknown" in check.found) == (DEGRADED, True)


class TestDiagnosis:
    def test_an_empty_machine(self, root, tmp_path):
        checks = {check.name: check for check in diagnose(root=str(root), state_dir=str(tmp_path), search=())}
        assert {"BTF", "capabilities", "bpffs"} <= {
            name for name, check in checks.items() if check.state == MISSING
        }
        assert checks["podman"].state == DEGRADED

    def test_names_differ(self, root, tmp_path):
        names = [check.name for check in diagnose(root=str(root), state_dir=str(tmp_path), search=())]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("path", ["/proc/self/status", "/proc/filesystems", "/etc/subuid", SHARE])
    def test_directories_where_files_are_meant_and_the_reverse(self, root, tmp_path, path):
        if path == SHARE:
            put(root, SHARE, "a file")
        else:
            (root / path[1:]).mkdir(parents=True)
        assert diagnose(root=str(root), state_dir=str(tmp_path), search=())


class TestShown:
    CHECKS = (
        ok("kernel", "Linux"),
        degraded("x", "half", "do this"),
        missing("longer name", "none", "do that"),
    )

    def test_lines_are_aligned(self):
        assert lines(self.CHECKS) == [
            "ok        kernel       Linux",
            "degraded  x            half",
            "                       next: do this",
            "missing   longer name  none",
            "                       next: do that",
        ]

    def test_in_colour(self):
        coloured = lines(self.CHECKS, colour=True)
        assert coloured[0] == "\x1b[32mok      \x1b[0m  kernel       Linux"
        assert coloured[1].startswith("\x1b[33mdegraded")
        assert coloured[3].startswith("\x1b[31mmissing ")

    def test_nothing_reaches_the_terminal(self):
        shown = lines((degraded("a", f"b\n{ESCAPE}", f"c\r\x9b2J{ESCAPE}"),))
        assert all(line.isprintable() for line in shown)

    def test_the_summary(self):
        assert summary(self.CHECKS) == "nothing can be recorded here yet: 1 missing, 1 degraded"
        assert summary(self.CHECKS[:2]) == "this machine can record; 1 of 2 checks are degraded"


class TestRuntimes:
    """The launchers that `seclude runtime install` writes."""

    def written(self, root: Path, runtime: str) -> Path:
        launcher = Launcher(engine="docker", runtime=runtime, bpffs="/b", state="/s", policy="/p")
        path = Path(str(root) + DIRECTORY) / "docker-seclude"
        path.parent.mkdir(parents=True)
        path.write_text(launcher.text("/opt/seclude"))
        path.chmod(0o755)
        return path

    def test_none(self, tmp_path: Path) -> None:
        check = launchers.check(str(tmp_path))
        assert check.state == OK and check.found.startswith("not installed")

    @pytest.mark.skipif(os.geteuid() != 0, reason="a launcher is root's")
    def test_one_that_leads_to_a_runtime(self, tmp_path: Path) -> None:
        self.written(tmp_path, "/bin/runc")
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "runc").touch(0o755)
        assert launchers.check(str(tmp_path)) == ok("runtime", "docker-seclude (leads to /bin/runc)")

    @pytest.mark.skipif(os.geteuid() != 0, reason="a launcher is root's")
    def test_one_that_leads_nowhere(self, tmp_path: Path) -> None:
        self.written(tmp_path, "/bin/runc")
        check = launchers.check(str(tmp_path))
        assert check.state == DEGRADED
        assert "docker-seclude leads to /bin/runc, which is not there" in check.found

    @pytest.mark.skipif(os.geteuid() != 0, reason="a launcher is root's")
    def test_one_that_others_can_change(self, tmp_path: Path) -> None:
        self.written(tmp_path, "/bin/true").chmod(0o777)
        check = launchers.check(str(tmp_path))
        assert check.state == DEGRADED and "can be changed by others than root" in check.found
