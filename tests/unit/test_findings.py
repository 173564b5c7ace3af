"""Every finding that the code can make is documented, in the words that SARIF carries."""

import re
from pathlib import Path

from seclude.model.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "findings.md").read_text()


def test_the_ids_in_the_code_are_the_ones_that_are_known():
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    made = {rule for source in sources for rule in re.findall(r"\brule\s*=\s*\"([a-z/-]+)\"", source)}
    made |= {rule for source in sources for rule in re.findall(r"\brule, message = \"([a-z/-]+)\"", source)}
    assert made == set(RULES)


def test_the_documentation_has_the_same_ids():
    assert re.findall(r"^## (.+)$", DOCUMENT, re.MULTILINE) == list(RULES)
    listed = re.findall(r"^\| \[([^]]+)\]\(#([^)]+)\)", DOCUMENT, re.MULTILINE)
    assert [name for name, _ in listed] == list(RULES)
    # GitHub leaves slashes out of the anchors of headings.
    assert all(anchor == name.replace("/", "") for name, anchor in listed)


def test_the_documentation_has_the_same_words():
    sections = dict(zip(RULES, re.split(r"^## .+$", DOCUMENT, flags=re.MULTILINE)[1:], strict=True))
    for name, rule in RULES.items():
        words = " ".join(sections[name].split())
        for text in (f"{rule.title}.", rule.meaning, rule.why, rule.remedy):
            assert text in words, name
