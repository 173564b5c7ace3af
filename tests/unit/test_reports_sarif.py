"""SARIF: valid, stable, and with nothing in messages that a viewer would act upon."""

import json
from pathlib import Path

from hypothesis import given, settings
from jsonschema import Draft7Validator

from seclude.model.finding import Finding
from seclude.model.frozen import replace
from seclude.model.rules import RULES
from seclude.reports.sarif import SarifReport

from .report_samples import EMPTY, FULL, HOSTILE, hostile

# Our own words of the parts of the standard that we write, stricter than it: no property that we do not mean to write.
SCHEMA = json.loads((Path(__file__).parent / "sarif-subset.schema.json").read_text())


def rendered(report):
    value = json.loads(SarifReport().render(report))
    Draft7Validator(SCHEMA).validate(value)
    return value["runs"][0]


def test_the_schema_is_one():
    Draft7Validator.check_schema(SCHEMA)


def test_a_full_report():
    run = rendered(FULL)
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["gate/coverage", "gate/deny", "gate/setting", "note"]
    assert RULES["gate/deny"].remedy in rules[1]["help"]["text"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    first = run["results"][0]["locations"][0]["physicalLocation"]
    assert first == {
        "artifactLocation": {"uri": "seccomp.json", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 12},
    }


def test_a_report_of_nothing():
    assert rendered(EMPTY)["results"] == []


def prints(report):
    return [result["partialFingerprints"]["secludeFinding/v1"] for result in rendered(report)["results"]]


def test_fingerprints_outlive_words_and_lines():
    found = prints(FULL)
    assert len(set(found)) == len(found)
    reworded = tuple(replace(each, message="other", line=99, hint="", details=()) for each in FULL.findings)
    assert prints(replace(FULL, findings=reworded)) == found
    assert prints(replace(FULL, findings=FULL.findings[1:])) == found[1:]
    twice = replace(FULL, findings=FULL.findings[:1] * 2)
    assert len(set(prints(twice))) == 2


def uri(path):
    finding = Finding(rule="note", severity="note", message="m", path=path)
    (result,) = rendered(replace(EMPTY, findings=(finding,)))["results"]
    return result["locations"][0]["physicalLocation"]["artifactLocation"]


def test_paths():
    assert uri("./a b/c%d.json")["uri"] == "a%20b/c%25d.json"
    assert uri("javascript:alert(1)")["uri"] == "javascript%3Aalert%281%29"
    assert uri("/etc/seccomp.json") == {"uri": "file:///etc/seccomp.json"}
    assert uri("")["uri"] == "seccomp.json"


@given(HOSTILE)
@settings(deadline=None)
def test_hostile_text(text):
    for result in rendered(hostile(text))["results"]:
        message = result["message"]["text"].replace("\\\\", "").replace("\\[", "").replace("\\]", "")
        assert "[" not in message and "]" not in message
        assert all(letter == "\n" or letter.isprintable() for letter in message)
