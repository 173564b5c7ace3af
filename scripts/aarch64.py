"""Runs seclude on 64-bit ARM: an emulated machine with Debian's kernel boots, records, enforces and watches; slow.

A root file system is put together from Debian's arm64 packages, this checkout and the BPF objects compiled for that
processor, and goes into memory. What the machine writes to its serial console is shown and kept; the exit status is 0
if each step inside did what it should. Debian only. It needs `apt-get install qemu-system-arm`, beside what
`make setup` installs, and no root.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import hatch_build  # noqa: E402

MACHINE = "aarch64"
KERNEL = "linux-image-arm64"
PACKAGES = (
    "python3-minimal libpython3-stdlib libbpf1 libseccomp2 coreutils busybox-static python3-click python3-markupsafe "
    "runc crun"
).split()
"""What the machine consists of, beside what these depend on."""

PURE = ("rich", "markdown_it", "mdurl", "pygments", "jinja2", "elftools", "ruamel")
"""Packages of .venv that have no compiled part, or do without."""

PASSED = "aarch64: all steps passed"

CONTAINER = """
import sys
from seclude.measuring.bundle import Case
from seclude.measuring.measure import open_bed
from seclude.session import Settings

for mode in (False, True):
    with open_bed(sys.argv[1], Settings()) as bed:
        recording = bed.recorded(Case(condition="plain", no_new_privileges=mode))
    print(bed.runtime.name, bed.runtime.version, "no-new-privileges" if mode else "", recording.abis())
    for phase in ("runtime", "app"):
        print(f"  {phase}:", *sorted(recording.names(phase)))
    assert recording.abis() == ("aarch64",) and "execve" in recording.names("runtime"), recording
    assert "exit_group" in recording.names("app") and recording.losses.calls == 0, recording
"""
"""One container with each runtime, recorded by the hook and through the pinned recorder."""

CHAIN = """
import subprocess, sys
from pathlib import Path
from seclude.attachable import process_numbered
from seclude.attaching import record_running
from seclude.session import Settings

for kind in ("orphans", "threads", "line"):
    sign = Path("/tmp/sign")
    sign.unlink(missing_ok=True)
    words = [sys.executable, "/chain.py", kind, str(sign), "getsid"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as chain:
        assert chain.stdout.readline() == "ready\\n"
        with process_numbered(chain.pid) as subject:
            chain.stdin.write("go\\n")
            chain.stdin.flush()
            attached = record_running(
                subject, Settings(), lambda text: sign.touch() if "attached to" in text else None, {}
            )
        said = chain.stdout.readline()
    recording = attached.recording
    print(kind, said.strip(), recording.losses.calls, "lost:", *sorted(recording.names()))
    assert "getsid" in recording.names() and recording.losses.calls == 0 and said == "done\\n"
"""
"""Attached to processes that fork faster than they can be listed."""

INIT = r"""#!/bin/busybox sh
# Runtimes change their root by pivot_root, which the kernel refuses in its first file system.
if [ "$1" != again ]; then
    /bin/busybox mkdir /new
    /bin/busybox mount -t tmpfs -o mode=755,size=80% root /new
    cd /
    for name in *; do [ "$name" = new ] || /bin/busybox cp -a "$name" /new/; done
    exec /new/bin/busybox switch_root /new /init again
fi
/bin/busybox --install -s /tools
export PATH=/usr/bin:/bin:/usr/sbin:/sbin:/tools HOME=/root PYTHONPATH=/seclude NO_COLOR=1 TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
echo 1 >/proc/sys/kernel/printk
seclude() { python3 -c 'import sys; sys.argv[0] = "seclude"; from seclude.cli import main; sys.exit(main())' "$@"; }
failed=0
step() {
    wanted=$1 title=$2
    shift 2
    echo "== $title"
    "$@"
    status=$?
    [ $status = $wanted ] || { echo "== FAILED: status $status, not $wanted"; failed=1; }
}
only() { [ "$(grep -o '"abi":"[a-z0-9_]*"' "$1" | sort -u)" = '"abi":"aarch64"' ]; }
has() { for name in $2; do grep -q "\"name\":\"$name\"" $1 || { echo "no $name"; return 1; }; done; }
hasnt() { for name in $2; do if grep -q "\"name\":\"$name\"" $1; then echo "$name"; return 1; fi; done; }
without() { sed "s/\"$1\",//" /tmp/ls.json >/tmp/without.json; ! cmp -s /tmp/ls.json /tmp/without.json; }
cd /tmp
uname -srm
step 0 "record ls /" seclude record -o /tmp/ls.json --recording /tmp/ls.rec -- ls /
step 0 "the recording" seclude show /tmp/ls.rec
step 0 "every call is named by the table of aarch64" only /tmp/ls.rec
step 0 "it has what ls calls there" has /tmp/ls.rec "execve openat getdents64 newfstatat write exit_group"
step 0 "and nothing that only x86_64 has" hasnt /tmp/ls.rec "open stat access arch_prctl readlink"
step 0 "ls / under the profile" seclude run --profile /tmp/ls.json -- ls /
step 0 "verify the profile" seclude verify --profile /tmp/ls.json -- ls /
step 0 "ls / under the portable profile that another machine made" seclude verify --profile /portable.json -- ls /
step 0 "a profile without getdents64" without getdents64
step 2 "verify it: ls / is refused the call" seclude verify --profile /tmp/without.json -- ls /
step 0 "record a container of crun" python3 /container.py /usr/bin/crun
step 0 "record a container of runc" python3 /container.py /usr/sbin/runc
step 0 "attach to chains of forks" python3 /attach.py
step 0 "doctor" seclude doctor
step 0 "compile it to the kernel's filter" seclude compile /tmp/ls.json -o /tmp/ls.bpf
[ $failed = 0 ] && echo "PASSED"
sync
poweroff -f
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Run seclude on an emulated aarch64 machine.")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser.add_argument(
        "--cache", type=Path, default=Path(base) / "seclude" / MACHINE, help="packages and images"
    )
    parser.add_argument("--seconds", type=int, default=900, help="how long the machine may run")
    arguments = parser.parse_args()
    if reason := missing():
        print(f"aarch64: {reason}", file=sys.stderr)
        return 1
    cache: Path = arguments.cache
    cache.mkdir(parents=True, exist_ok=True)
    unpack(cache)
    furnish(cache / "root", cache)
    pack(cache)
    return run(cache, arguments.seconds)


def missing() -> str:
    """What is not there, with the next step; empty if all is."""
    for program, package in (
        ("qemu-system-aarch64", "qemu-system-arm"),
        ("apt-get", "apt (this runs on Debian only)"),
        ("dpkg-deb", "dpkg"),
        ("clang", "clang llvm libbpf-dev"),
        ("busybox", "busybox-static"),
    ):
        if not shutil.which(program):
            return f"{program} was not found: apt-get install {package}"
    return ""


def apt(cache: Path, program: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """An apt of its own for arm64, with the machine's sources."""
    place = cache / "apt"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (place / name).mkdir(parents=True, exist_ok=True)
    (place / "status").touch()
    values = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Dir::State": place / "state",
        "Dir::State::status": place / "status",
        "Dir::Cache": place / "cache",
    }
    words = [word for name, value in values.items() for word in ("-o", f"{name}={value}")]
    return subprocess.run([program, *words, *arguments], text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def unpack(cache: Path) -> None:
    """Download the packages and what they depend on, once, and unpack them into root/."""
    done = cache / "unpacked"
    wanted = " ".join((KERNEL, *PACKAGES))
    if done.exists() and done.read_text() == wanted:
        return
    shutil.rmtree(cache / "root", ignore_errors=True)
    print("aarch64: downloading Debian's arm64 packages", file=sys.stderr)
    # Sources of others than Debian may have nothing for arm64: what is missing shows in the next step.
    apt(cache, "apt-get", "-qq", "update", capture_output=True)
    apt(
        cache, "apt-get", "-qq", "-y", "--download-only", "install", KERNEL, *PACKAGES, capture_output=True
    ).check_returncode()
    (cache / "root").mkdir()
    for package in sorted((cache / "apt" / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, cache / "root"], check=True)
    (kernel,) = (cache / "root" / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, cache / "vmlinuz")
    for name in ("boot", "lib/modules", "usr/share/doc", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(cache / "root" / name, ignore_errors=True)
    done.write_text(wanted)


def furnish(root: Path, cached: Path) -> None:
    """Put this checkout, a portable profile, the objects for the machine and /init into the root file system."""
    for name in ("proc", "sys", "dev", "tmp", "run", "root", "tools"):
        (root / name).mkdir(exist_ok=True)
    target = root / "seclude"
    shutil.rmtree(target, ignore_errors=True)
    leave = shutil.ignore_patterns("__pycache__", "*.o", "*.so", ".build-*")
    shutil.copytree(ROOT / "src" / "seclude", target / "seclude", ignore=leave)
    for source, place in hatch_build.OBJECTS.items():
        hatch_build.compile_object(ROOT, source, target / Path(place).relative_to("src"), wanted=MACHINE)
    packages = next((ROOT / ".venv" / "lib").glob("python3.*")) / "site-packages"
    for name in PURE:
        shutil.copytree(packages / name, target / name, ignore=leave)
    (root / "container.py").write_text(CONTAINER)
    (root / "attach.py").write_text(CHAIN)
    shutil.copy(ROOT / "tests" / "workloads" / "chain.py", root / "chain.py")
    # Made here, for both processors, from what ls calls here.
    seclude = ROOT / ".venv" / "bin" / "seclude"
    command = [seclude, "record", "-q", "--portable", "-o", cached / "portable.json", "--", "ls", "/"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(cached / "portable.json", root)
    # An emulated processor takes a minute to compile what a command imports; of another version this is ignored.
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", target, root / "usr" / "lib" / "python3.11"],
        check=False,
        stdout=subprocess.DEVNULL,
    )
    init = root / "init"
    init.write_text(INIT)
    init.chmod(0o755)


def pack(cache: Path) -> None:
    """root/ as the archive that the kernel unpacks into memory (Documentation/driver-api/early-userspace)."""
    names = subprocess.run(["find", "."], cwd=cache / "root", capture_output=True, check=True).stdout
    with open(cache / "initramfs", "wb") as archive:
        subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc", "-R", "0:0"],
            cwd=cache / "root",
            input=names,
            stdout=archive,
            stderr=subprocess.DEVNULL,
            check=True,
        )


def run(cache: Path, seconds: int) -> int:
    """Boot the machine and show its console; 0 if it said that all passed."""
    command = ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57", "-smp", "2", "-m", "2048"]
    command += ["-kernel", str(cache / "vmlinuz"), "-initrd", str(cache / "initramfs")]
    command += ["-append", "console=ttyAMA0 quiet panic=-1 rdinit=/init", "-nographic", "-no-reboot"]
    command += ["-net", "none"]
    print("aarch64: booting, in some minutes at the latest there is something to see", file=sys.stderr)
    started = time.monotonic()
    with (
        open(cache / "console", "wb") as console,
        subprocess.Popen(
            ["timeout", str(seconds), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as machine,
    ):
        for line in machine.stdout or ():
            console.write(line)
            print(line.decode("utf-8", "backslashreplace").rstrip(), flush=True)
    passed = b"PASSED" in (cache / "console").read_bytes().split()
    took = f"after {time.monotonic() - started:.0f} s; the console is in {cache / 'console'}"
    print(f"{PASSED if passed else 'aarch64: something failed'} {took}", file=sys.stderr)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
