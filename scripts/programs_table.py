"""Records real programs in containers, runs each under its profile, and prints what came out as Markdown tables.

The programs and their workloads are those of tests/engines/test_programs.py. Needs root and `make setup` before:
sudo .venv/bin/python scripts/programs_table.py [--repeat N] [--compare NAME=PROFILE] [PROGRAM...]
Ends with 1 where a run under a profile was refused something or did not end as without.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "engines"), str(ROOT / "tests" / "workloads")]

from podman_bed import Bed, open_bed  # noqa: E402
from podman_config import runtime_path  # noqa: E402
from programs import (  # noqa: E402
    IMAGE,
    NO_NEW_PRIVILEGES,
    PROGRAMS,
    Program,
    Verified,
    allowed_here,
    default_profile,
    record,
    verified,
)
from recording import Recorded, Recorder  # noqa: E402

from seclude.formats import oci  # noqa: E402
from seclude.model.profile import Profile  # noqa: E402

RUNTIMES = ("runc", "crun")
COLUMNS = ("program", "runtime", "app", "both", "profile", "with no-new-privileges")


@dataclass(frozen=True)
class Measured:
    """One program on one runtime: recorded and verified, without and with no-new-privileges."""

    program: Program
    usual: Recorded
    tight: Recorded
    proofs: tuple[Verified, Verified]

    @property
    def right(self) -> bool:
        return all(proof.clean for proof in self.proofs)

    def denied(self) -> str:
        """The names of refused calls, 0 where there were none; otherwise how the runs ended, if not as expected."""
        names = sorted({name for proof in self.proofs for name in proof.denied})
        if names or self.right:
            return ", ".join(names) or "0"
        return f"0, but status {[proof.statuses for proof in self.proofs]}"


def measure(recorder: Recorder, program: Program, runtime: str, repeat: int) -> Measured:
    usual = record(recorder, program, runtime)
    tight = record(recorder, program, runtime, *NO_NEW_PRIVILEGES)
    proofs = (
        verified(recorder, program, runtime, usual.profile, repeat),
        verified(recorder, program, runtime, tight.profile, repeat, *NO_NEW_PRIVILEGES),
    )
    return Measured(program, usual, tight, proofs)


def row(measured: Measured, others: Sequence[Profile]) -> list[str]:
    usual = measured.usual
    numbers = (
        len(usual.names("runtime")),
        len(usual.names("app")),
        len(usual.names()),
        len(usual.allowed),
        len(measured.tight.allowed),
        *(len(allowed_here(profile, usual)) for profile in others),
    )
    return [measured.program.title or measured.program.name, *map(str, numbers), measured.denied()]


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def surroundings(bed: Bed) -> str:
    """What the numbers belong to, in one line."""
    shown = bed.run("sh", "-c", '. /etc/os-release; echo "$PRETTY_NAME"', image=IMAGE).succeeded()
    versions = [bed.host(name, "--version").succeeded().lines[0] for name in ("podman", *RUNTIMES)]
    kernel = platform.release().partition("-")[0]
    return f"Programs of {shown.out.strip()}; Linux {kernel}, {', '.join(versions)}."


def others(compare: Sequence[str]) -> dict[str, Profile]:
    """Head of a column -> the profile that it counts."""
    found = {}
    for item in compare:
        name, _, path = item.partition("=")
        found[name] = oci.loads(Path(path).read_text(), path)
    standard = default_profile()
    return found | ({"Podman's default": standard} if standard else {})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3, help="runs under each profile")
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=PROFILE",
        help="count also what this profile allows",
    )
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="only these")
    wanted = parser.parse_args()
    known = [program.name for program in PROGRAMS]
    if unknown := sorted(set(wanted.programs) - set(known)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [program for program in PROGRAMS if program.name in wanted.programs or not wanted.programs]
    compared = others(wanted.compare)
    heads = [*COLUMNS, *compared, f"denied in {wanted.repeat} + {wanted.repeat} runs"]
    right = True
    with open_bed() as bed:
        recorder = Recorder(bed)
        print(surroundings(bed), flush=True)
        for runtime in filter(runtime_path, RUNTIMES):
            rows = []
            for program in chosen:
                print(f"{program.name} on {runtime}", file=sys.stderr, flush=True)
                measured = measure(recorder, program, runtime, wanted.repeat)
                rows.append(row(measured, list(compared.values())))
                right = right and measured.right
            print(f"\n### {runtime}\n\n{markdown(heads, rows)}", flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
