#!/usr/bin/env python3
"""Checks what seclude makes of real profiles: a directory in, a table of what holds for how many of them out.

usage: check_corpus.py DIRECTORY     (each folder with *.json in it is a row)

Exits with 1 if a file is not read, or something does not hold that has to. docs/corpora.md has where to find profiles.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from seclude.analyse.diff import difference, environments_for
from seclude.analyse.merge import INTERSECTION, SUBTRACT, UNION, merge
from seclude.analyse.minimize import permitted
from seclude.errors import ProfileError
from seclude.formats import oci
from seclude.model.profile import Profile

COLUMNS = (
    "files",
    "read",
    "same text",
    "same self",
    "p+p = p",
    "p&p = p",
    "p-p = 0",
    "pairs",
    "exact",
    "laws",
)


def same(one: Profile, two: Profile) -> bool:
    """Whether both mean the same wherever they could differ."""
    places = environments_for([one, two], machine="x86_64", kernel="6.1")
    return difference(one, two, environments=places).empty


def plain(value: object) -> object:
    """JSON without what is empty or zero, which engines read like what is left out."""
    if isinstance(value, dict):
        kept = {key: plain(member) for key, member in value.items()}
        return {key: member for key, member in kept.items() if member not in ({}, [], "", None, 0)}
    return [plain(member) for member in value] if isinstance(value, list) else value


class Row:
    """What holds for the profiles of one folder, and what does not, in words."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.found = dict.fromkeys(COLUMNS, 0)
        self.failures: list[str] = []
        self.refused: list[str] = []
        last: Profile | None = None
        for path in sorted(folder.glob("*.json")):
            self.found["files"] += 1
            text = path.read_text(encoding="utf-8")
            try:
                profile = oci.loads(text, str(path))
            except ProfileError as error:
                self.failures.append(str(error).splitlines()[0])
                continue
            self._alone(path, text, profile)
            if last is not None:
                self._beside(path, last, profile)
            last = profile

    def _holds(self, column: str, path: Path, true: bool) -> None:
        self.found[column] += true
        if not true:
            self.failures.append(f"{path}: not {column}")

    def _alone(self, path: Path, text: str, profile: Profile) -> None:
        written = oci.dumps(profile)
        self._holds("read", path, True)
        kept = plain(json.loads(written)) == plain(json.loads(text)) and oci.loads(written, "") == profile
        self._holds("same text", path, kept)
        self._holds("same self", path, same(profile, profile))
        self._holds("p+p = p", path, same(profile, merge([profile, profile], UNION)))
        self._holds("p&p = p", path, same(profile, merge([profile, profile], INTERSECTION)))
        left = merge([profile, profile], SUBTRACT)
        self._holds("p-p = 0", path, left.permits or not permitted(left))

    def _beside(self, path: Path, one: Profile, two: Profile) -> None:
        """A profile and the one before it: of a history, the next version."""
        self.found["pairs"] += 1
        try:
            both, shared = merge([one, two], UNION), merge([one, two], INTERSECTION)
            merge([one, two], SUBTRACT)
        except ProfileError as error:
            self.refused.append(f"{path}: {error.message}")
            return
        self.found["exact"] += 1
        laws = (
            merge([two, one], UNION) == both,
            merge([two, one], INTERSECTION) == shared,
            same(merge([one, both], INTERSECTION), one),
            same(merge([one, shared], UNION), one),
            same(merge([both, shared], UNION), both),
        )
        self._holds("laws", path, all(laws))


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks what seclude makes of real profiles.")
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    folders = [arguments.directory, *sorted(each for each in arguments.directory.rglob("*") if each.is_dir())]
    rows = [Row(folder) for folder in folders if any(folder.glob("*.json"))]
    if not rows:
        print(f"check_corpus: {arguments.directory} holds no *.json", file=sys.stderr)
        return 1
    print("|", " | ".join(("", *COLUMNS)), "|")
    print("|", " | ".join(["---"] * (len(COLUMNS) + 1)), "|")
    for row in rows:
        print("|", " | ".join((row.name, *(str(row.found[column]) for column in COLUMNS))), "|")
    for row in rows:
        for line in (*row.refused, *row.failures):
            print(line, file=sys.stderr)
    return int(any(row.failures for row in rows))


if __name__ == "__main__":
    sys.exit(main())
