"""The main job on a real container: recorded, its profile enforced, and what was not recorded refused.

Prints each command and what it answers; ends with 1 where an answer is not the expected one. Podman runs apart from
the machine's own (tests/engines/podman_bed.py), on an image made from Debian packages, and nothing remains.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "engines"), str(ROOT / "tests" / "workloads")]

from podman_bed import Bed, Result, open_bed  # noqa: E402

SECLUDE = Path(sys.executable).parent / "seclude"
LONGEST = 5
WIDEST = 240


class Demonstration:
    """Runs commands in a bed, shows them as a user would type them, and checks how they end."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._environment = {"SECLUDE_BPFFS": str(bed.bpffs), "SECLUDE_STATE_DIR": str(bed.state)}
        self.failures = 0

    def step(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def run(self, line: str, *, status: int = 0, says: str = "") -> Result:
        """Run a command line; `status` and a part of what it `says` are what must come out."""
        image = self._bed.images["debian"]
        print(f"$ {line}", flush=True)
        typed = shlex.split(line.replace(" debian ", f" {image} "))
        words = [str(SECLUDE) if word == "seclude" else word for word in typed]
        result = self._bed.host(*words, cwd=self._bed.directory, env=self._environment)
        for shown in (result.out.splitlines(), result.err.splitlines()):
            for text in shown[:LONGEST]:
                print(f"  {text[:WIDEST].replace(image, 'debian')}{'...' if len(text) > WIDEST else ''}")
            if len(shown) > LONGEST:
                print(f"  ... and {len(shown) - LONGEST} more lines")
        if result.status != status or says not in result.out + result.err:
            print(f"  UNEXPECTED: exit status {result.status}, expected {status} and {says!r}")
            self.failures += 1
        return result


def demonstrate(bed: Bed) -> int:
    demo = Demonstration(bed)
    run = "podman run --rm --network none"
    denied = "Operation not permitted"
    demo.step(
        "Record the calls that `ls /` makes in a container, and write the profile that allows just those."
    )
    demo.run(f"seclude record -o ls.json -- {run} debian ls /", says="calls recorded")
    demo.run("cat ls.json", says="SCMP_ACT_ERRNO")
    demo.step("Under its profile `ls /` still runs ...")
    demo.run(f"{run} --security-opt seccomp=ls.json debian ls /")
    demo.step("... and `ls -l /` does not: it needs calls that were not recorded.")
    demo.run(f"{run} --security-opt seccomp=ls.json debian ls -l /", status=1, says=denied)
    demo.step("Which calls, by whom, from where, and what to do about it?")
    demo.run(f"seclude verify -p ls.json -- {run} debian ls -l /", status=2, says="cause    no rule")
    demo.step("Record what is missing on top of the old profile, and it runs.")
    demo.run(f"seclude record --from ls.json -o ls-l.json -- {run} debian ls -l /")
    demo.run(f"{run} --security-opt seccomp=ls-l.json debian ls -l /", says="root root")
    demo.step("Prove it, three times; and see what changed between the profiles.")
    demo.run(f"seclude verify -p ls-l.json --repeat 3 -- {run} debian ls -l /", says="0 denied")
    demo.run("seclude diff ls.json ls-l.json", status=2, says="added")
    demo.step("The same with the hook that podman itself starts, a drop-in for oci-seccomp-bpf-hook.")
    demo.run(f"seclude hook install --hooks-dir {bed.hooks_dir}")
    annotation = f"io.containers.trace-syscall=of:{bed.directory}/hook.json"
    demo.run(
        f"podman --hooks-dir {bed.hooks_dir} run --rm --network none --annotation {annotation} debian ls /"
    )
    demo.run(f"{run} --security-opt seccomp=hook.json debian ls /")
    demo.run(f"{run} --security-opt seccomp=hook.json debian mkdir /tmp/new", status=1, says="cannot create")
    demo.run(f"seclude hook uninstall --hooks-dir {bed.hooks_dir}")
    demo.step("And without any container: a plain process and its descendants.")
    demo.run("seclude record -o date.json -- sh -c 'date -u +%Y; exit 3'", status=3)
    demo.run("seclude run --profile date.json -- sh -c 'date -u +%Y; exit 3'", status=3)
    demo.run("seclude run --profile date.json -- sh -c 'mkdir new'", status=1, says=denied)
    return demo.failures


def main() -> int:
    print("demo: preparing an image from Debian packages (the first time takes about a minute)", flush=True)
    with open_bed() as bed:
        failures = demonstrate(bed)
    print(f"\ndemo: {'as it should be' if not failures else f'{failures} answers were not as expected'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
