"""Real suites recorded in, how far the predicted risk is from what held-out tests did out (docs/completeness.md).

Each suite is recorded with one context for each test. Then some of its tests are drawn 200 times, and what these
predict (R1/t and its upper bounds) is compared with the share of the rest that makes a call which none of them makes.
Run as root: `make calibrate`. Ends with status 1 where a prediction misses, or a bound holds too rarely.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean

from seclude import store
from seclude.analyse.completeness import estimate, share_bound
from seclude.analyse.incidence import by_file, by_test, chosen
from seclude.model.completeness import Estimate, Incidence
from seclude.model.frozen import replace

ROOT = Path(__file__).resolve().parents[1]
MARK = 0x5EC1DE00
SAMPLES = 200
NEAR = 0.20
HELD = 0.85
SHARES = (0.25, 0.5, 0.75)
"""Of the tests that predict."""

FEW = 0.5
"""Where more than this share predicts, those left are so few that their luck hides what a bound on a probability is
worth: there it is judged by the bound on their share, which has that luck in it, alone.
"""

PREPARE = {
    "git": """
        git init -q -b main . && git config user.name x && git config user.email x@example.org
        for i in 1 2 3; do echo line $i >>a.txt && git add a.txt && git commit -q -m $i; done
        git checkout -q -b side HEAD~1 && echo s >s.txt && git add s.txt && git commit -q -m s && git checkout -q main
    """,
    "sqlite3": """
        sqlite3 t.db "create table t (a, b, s); insert into t values (1, 2, 'x'), (2, 3, 'y');
            create table u (a, c); insert into u values (1, 5); create table big as
            with recursive c(v) as (select 1 union all select v + 1 from c limit 20000) select v, hex(v) h from c;"
        echo 1,2,3 >in.csv
        echo "select 1;" >in.sql
    """,
    "coreutils": "seq 9 >a; seq 5 14 >b; seq 20000 >big; mkdir -p d/s; echo x >d/f; ln -s a s",
}
"""Suite of commands -> what makes the directory that each of its commands runs in."""

OWN = "unit-tests"
SUITES = (OWN, *PREPARE)

# One mark for a whole test, the fixtures included.
CONFTEST = """
import ctypes, pytest
_libc = ctypes.CDLL(None)
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart(nodeid, location):
    _libc.prctl(0x5ec1de00, nodeid.encode("utf-8", "replace")[:240], 0, 0, 0)
@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish(nodeid, location):
    _libc.prctl(0x5ec1de00, b"", 0, 0, 0)
"""


def drive(suite: str) -> None:
    """Run each command of a suite in a context of its own; this is what is recorded."""
    libc = ctypes.CDLL(None)
    commands = (ROOT / "scripts" / "calibration" / f"{suite}.txt").read_text(encoding="utf-8").splitlines()
    environment = os.environ | {"LC_ALL": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    for number, line in enumerate(commands):
        with tempfile.TemporaryDirectory(
            prefix="seclude-calibrate-", ignore_cleanup_errors=True
        ) as directory:
            place = os.path.join(directory, "work")
            os.mkdir(place)
            options = {"cwd": place, "env": environment, "stdin": subprocess.DEVNULL}
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run(["/bin/sh", "-c", PREPARE[suite]], check=True, **options, **quiet)
            command = ["sqlite3", "t.db", line] if suite == "sqlite3" else ["/bin/sh", "-c", line]
            name = f"{number}: {line}".encode()[:240]
            # The mark holds for the child and all that it starts.
            subprocess.run(
                command,
                preexec_fn=lambda name=name: libc.prctl(MARK, name, 0, 0, 0),
                timeout=60,
                **options,
                **quiet,
            )


def incidence(suite: str, directory: str) -> Incidence:
    """Record a suite, and say which test made which call."""
    path = os.path.join(directory, f"{suite}.json")
    if not os.path.exists(path):
        with open(os.path.join(directory, "seclude_calibration.py"), "w", encoding="utf-8") as file:
            file.write(CONFTEST)
        python = sys.executable
        command = [python, os.path.abspath(__file__), "--drive", suite]
        if suite == OWN:
            command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "seclude_calibration"]
            command += ["-p", "no:randomly", "--deselect", "tests/unit/test_package.py", "tests/unit"]
        record = [python, "-c", "import sys; from seclude.cli import main; sys.exit(main())", "record"]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), directory)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        subprocess.run(
            [*record, "--quiet", "--recording", path, "--", *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
    found = by_test([store.read(path)])
    # What the driver itself calls is no part of the suite.
    return found if suite == OWN else replace(found, outside=frozenset())


def calibrate(suite: Incidence, share: float, draw: random.Random) -> tuple[float, float, float, float]:
    """Mean predicted risk, mean actual share, and in which share of the draws that of the held-out tests is at most
    the bound on the probability, and at most the bound on the share of so many tests.
    """
    predicted, actual, bounds, shares = [], [], [], []
    count = len(suite.names)
    for _ in range(SAMPLES):
        order = draw.sample(range(count), count)
        taken = max(2, round(count * share))
        drawn = chosen(suite, order[:taken])
        found = estimate(drawn)
        if not isinstance(found, Estimate) or taken == count:
            raise SystemExit(f"{count} tests are too few")
        new = 0
        for call, units in suite.makers.items():
            if call not in drawn.makers and call not in suite.outside:
                new |= units
        left = count - taken
        # A unit that makes a new call is none of those drawn.
        actual.append(new.bit_count() / left)
        predicted.append(found.risk)
        bounds.append(found.bound)
        shares.append(share_bound(found, left))
    held = [
        fmean(done <= bound for done, bound in zip(actual, each, strict=True)) for each in (bounds, shares)
    ]
    return fmean(predicted), fmean(actual), held[0], held[1]


def held_up(name: str, suite: Incidence, seed: int) -> bool:
    """Print a row for each of SHARES; whether all of them are near enough."""
    near = True
    calls = len(suite.outside.union(suite.makers))
    for share in SHARES:
        draw = random.Random(seed)  # noqa: S311 -- drawn the same again, not to be kept secret
        predicted, actual, held, share_held = calibrate(suite, share, draw)
        off = (predicted - actual) / actual if actual else 0.0
        row = [name, str(len(suite.names)), str(calls), f"{share:.0%}", f"{predicted:.2%}", f"{actual:.2%}"]
        print("|", " | ".join((*row, f"{off:+.1%}", f"{held:.1%}", f"{share_held:.1%}")), "|", flush=True)
        near &= abs(off) <= NEAR and share_held >= HELD and (share > FEW or held >= HELD)
    return near


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drive", choices=list(PREPARE), help=argparse.SUPPRESS)
    parser.add_argument(
        "--keep", metavar="DIR", default="", help="recordings are kept here, and taken from here"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all unless given"
    )
    told = parser.parse_args()
    if told.drive:
        drive(told.drive)
        return 0
    failed = False
    print(
        "| Suite | Units | Calls | Drawn | Predicted | Actual | Off by | Bound holds | Share's bound holds |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="seclude-calibrate-") as directory:
        for suite in told.suites or SUITES:
            tests = incidence(suite, told.keep or directory)
            # Files are units too where the names of tests tell them.
            for units in (tests, by_file(tests)) if suite == OWN else (tests,):
                failed |= not held_up(f"{suite}, {units.kind}s", units, told.seed)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
