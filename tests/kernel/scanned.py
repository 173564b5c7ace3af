"""Real programs of this machine: which there are and what each does, and how to record one and scan what it ran."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plain import SECLUDE, record, run

_SERVED = "busybox httpd -f -p 127.0.0.1:{port} -h . & server=$!; "
_WAIT = "for i in $(seq 600); do {get} && break; sleep 0.1; done; kill $server; wait $server; test -s got"


@dataclass(frozen=True)
class Program:
    """`work` is a text for bash, run in a directory with some files; `{here}` and `{port}` are filled in.

    `needs`: further programs, without which it is skipped. `also`: what it loads at run time (`--also`). `heavy`: it
    takes ten seconds to read, and shows what another of its kind does.
    """

    name: str
    work: str
    title: str = ""
    needs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    heavy: bool = False

    def missing(self) -> str:
        """Why it cannot be run here, empty if it can."""
        absent = [name for name in (self.name, *self.needs) if shutil.which(name, path=_PATH) is None]
        return f"{', '.join(absent)} not installed" if absent else ""


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

PROGRAMS = (
    Program(
        "bash",
        "for i in 1 2; do echo $i | while read x; do :; done; done; umask 022; ulimit -n; kill -0 $$; echo x > b;"
        ' test -f b; (exit 3); trap "echo hi" USR1; kill -USR1 $$; printf "%s" ~root',
    ),
    Program(
        "dash",
        "dash -c 'for i in 1 2; do echo $i | while read x; do :; done; done; ulimit -n; (exit 3) || :'",
    ),
    Program("cat", "cat /etc/passwd words > copy"),
    Program("ls", "ls -laR . /etc/apt"),
    Program("cp", "cp -a tree copied && cp --reflink=auto words more"),
    Program("sort", "sort -u words > sorted && sort --parallel=2 -S 1M -r words > other"),
    Program("stat", "stat words . && stat -f ."),
    Program("date", "date +%s && TZ=Europe/Paris date"),
    Program("timeout", "timeout 5 true; timeout 0.05 sleep 5 || test $? = 124", "timeout, sleep"),
    Program("find", "find . -type f -newer words -o -name 'w*' -exec true {} +"),
    Program("grep", "grep -r root /etc/passwd . ; grep -c a words"),
    Program("sed", "sed -i s/a/b/g words && sed -n 1,5p words"),
    Program("awk", "awk '{ n += length($0) } END { print n | \"cat\" }' words"),
    Program("tar", "tar -czf w.tgz tree && tar -tzf w.tgz && mkdir o && tar -C o -xzf w.tgz", "tar, gzip"),
    Program("gzip", "gzip -k words && gzip -t words.gz && zcat words.gz > w2"),
    Program("xz", "xz -k -T2 words && xz -t words.xz"),
    Program("bzip2", "bzip2 -k words && bzip2 -t words.bz2"),
    Program("zstd", "zstd -q -T2 words && zstd -q -t words.zst"),
    Program("diff", "diff -r tree /etc/apt > d || test $? = 1"),
    Program("make", "printf 'all: a b\\na b:\\n\\ttouch $@\\n' > Makefile && make -j2"),
    Program("dpkg", "dpkg -l bash && dpkg -S /etc/passwd || dpkg --version"),
    Program(
        "git",
        "git init -q g && cd g && git config user.email a@b && git config user.name n && echo a>f && git add f"
        " && git commit -qm x && git log && git status && git gc -q",
    ),
    Program("sqlite3", "sqlite3 d.db 'create table t(a); insert into t values(1); select * from t; vacuum'"),
    Program("jq", "echo '{\"a\": [1, 2]}' | jq .a[]"),
    Program("bc", "echo '2^100' | bc"),
    Program("file", "file words /usr/bin/env"),
    Program("openssl", "openssl genrsa -out key 2048 && openssl dgst -sha256 -sign key -out sig words"),
    Program("ssh-keygen", "ssh-keygen -q -t ed25519 -N '' -f id && ssh-keygen -l -f id"),
    Program("gpg", "mkdir -m 700 home && gpg --homedir home --batch --print-md SHA256 words"),
    Program(
        "curl",
        _SERVED + _WAIT.format(get="curl -so got http://127.0.0.1:{port}/words"),
        "curl, busybox",
        ("busybox",),
    ),
    Program(
        "wget",
        _SERVED + _WAIT.format(get="wget -qO got http://127.0.0.1:{port}/words"),
        "wget, busybox",
        ("busybox",),
    ),
    Program(
        "perl",
        "perl -e 'use Socket; $p = fork // die; exit 0 unless $p; wait; print scalar getpwuid(0), sort 3, 1'",
    ),
    Program(
        "python3",
        "python3 -c 'import json, hashlib, sqlite3, socket, subprocess, threading, tempfile, time\n"
        "t = threading.Thread(target=time.sleep, args=(0.01,)); t.start(); t.join()\n"
        'print(subprocess.run(["true"]), json.dumps([1]), hashlib.sha256(b"").hexdigest(), tempfile.mkdtemp())\'',
        also=("/usr/lib/python3.11/lib-dynload",),
    ),
    Program("strace", "strace -f -o t ls && test -s t", "strace, ls"),
    Program("ip", "ip -o link && ip route"),
    Program("unshare", "unshare --mount --uts --fork true"),
    Program(
        "mount", "unshare --mount sh -c 'mount -t tmpfs t tree && umount tree'", "mount, umount", ("unshare",)
    ),
    Program("bwrap", "bwrap --ro-bind / / --dev /dev true"),
    Program("crun", "mkdir b && cd b && crun spec && crun --root {here}/state list"),
    Program("conmon", "conmon --version"),
    Program(
        "busybox",
        "busybox sh -c 'busybox ls / | busybox grep r; busybox tar -cf b.tar tree; busybox sleep 0.01'",
        "busybox (static)",
    ),
    Program("runc", "mkdir b && cd b && runc spec && runc --root {here}/state list", "runc (Go with cgo)"),
    Program("podman", "podman --version", "podman (Go with cgo)", heavy=True),
    Program("docker", "docker --version; docker -H unix://{here}/none ps || :", "docker (Go with cgo)"),
    Program("containerd", "containerd config default", "containerd (Go with cgo)", heavy=True),
)


@dataclass(frozen=True)
class Scanned:
    """What `seclude scan --json` said of one program, and its exit status."""

    status: int
    values: dict[str, Any]

    @property
    def outside(self) -> set[str]:
        """Recorded calls that are not reachable."""
        return set(self.values["recorded"]) - set(self.values["reachable"])

    @property
    def unexplained(self) -> list[str]:
        """Those of them for which no reason is given, and those that are not even listed."""
        reasons = {item["call"]: item["reason"] for item in self.values["outside"]}
        return sorted(name for name in self.outside if not reasons.get(name))


def prepare(directory: Path) -> Path:
    """A directory with some files for a program to work on."""
    here = directory / "w"
    (here / "tree" / "deep").mkdir(parents=True)
    (here / "words").write_text("".join(f"line {number} of many words\n" for number in range(20000)))
    (here / "tree" / "deep" / "file").write_text("x")
    (here / "tree" / "link").symlink_to("deep/file")
    return here


def recorded(program: Program, directory: Path) -> Path:
    """The recording of a program's work; AssertionError unless that ends with 0."""
    here = prepare(directory)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = program.work.replace("{here}", str(here)).replace("{port}", str(port))
    # The distribution's own programs, whatever comes first elsewhere.
    found = record(directory, "/bin/bash", "-c", f"PATH={_PATH}; cd {here}; {work}")
    assert found.done.returncode == 0, found.done.stderr
    return directory / "recording.json"


def scanned(recording: Path, root: str | Path = "/", *options: str, cache: Path) -> Scanned:
    """`seclude scan` of all that the recording saw run, with an own cache."""
    environment: Mapping[str, str] = os.environ | {"XDG_CACHE_HOME": str(cache)}
    done = run(
        *SECLUDE, "scan", root, "--recording", recording, "--json", *options, env=environment, timeout=240
    )
    assert done.returncode in (0, 2), done.stderr
    return Scanned(done.returncode, json.loads(done.stdout))


def options(program: Program) -> tuple[str, ...]:
    """What `seclude scan` is told: the program too, which a recording names only if it made some call first."""
    also = (word for path in program.also if Path(path).exists() for word in ("--also", path))
    return ("--entry", shutil.which(program.name, path=_PATH) or program.name, *also)
