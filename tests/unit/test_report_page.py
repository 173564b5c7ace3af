"""The page of HTML: what is on it, what is left out, that it is inert whatever the names are, and its size."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings

from seclude import store
from seclude.cli.report import allowance, command
from seclude.errors import OutputError, ProfileError, SecludeError
from seclude.formats import oci
from seclude.model.completeness import CurvePoint
from seclude.model.environment import Environment
from seclude.model.frozen import replace
from seclude.model.profile import Argument, Filter, Profile, Rule
from seclude.model.recording import Losses
from seclude.reports.compose import Allowance, Comparison, compose
from seclude.reports.html import html, looks_like_report
from seclude.reports.page import MISSING, NAMELESS, UNSEEN
from seclude.reports.picture import drawing

from .page_samples import TEST, difference, hostile, large, reachable, small
from .report_samples import HOSTILE, PAYLOADS

GOLD = Path(__file__).parents[1] / "gold" / "report-page.html"
TEMPLATES = Path(__file__).parents[2] / "src" / "seclude" / "reports" / "templates"
NAMES = ("close", "mkdir", "openat", "read", "reboot", "write")
POINTS = tuple(
    CurvePoint(units=units, calls=5.0 + units, low=4.0 + units, high=6.0 + units) for units in range(1, 6)
)
VOID = {"meta", "link", "input", "br"}


def page(recording=None, *, names=NAMES, **options):
    return compose(
        [recording or small()], profile=Allowance(label="/srv/secret/app.json", names=names), **options
    )


def full(**options):
    return page(
        others=(Allowance(label="Default", names=("read", "socket"), conditional=("socket",)),),
        comparison=Comparison(label="/srv/secret/old.json", difference=difference()),
        bracket=reachable(),
        curve=POINTS,
        completeness=("The next test is like the others.",),
        notes=("A note.",),
        **options,
    )


class Structure(HTMLParser):
    """Every element with its attributes, in order; unclosed ones fail."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.words = []
        self.inside = []
        self.feed(text)
        self.close()
        assert self.inside == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, tuple(attributes)))
        if tag not in VOID:
            self.inside.append(tag)

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        self.words.append((self.inside[-1] if self.inside else "", data))

    def handle_comment(self, data):
        self.elements.append((f"comment {data}", ()))

    def of(self, name):
        return [dict(attributes) for tag, attributes in self.elements if tag == name]


def categories(made):
    return {call.name: call for category in made.categories for call in category.calls}


class TestContent:
    def test_the_page_is_as_it_was(self):
        text = html(full(), version="VERSION")
        if os.environ.get("SECLUDE_GOLD") == "write":
            GOLD.write_text(text)
        assert text == GOLD.read_text()

    def test_figures(self):
        figures = {figure.label: figure for figure in page().figures}
        assert {label: figure.value for label, figure in figures.items()} == {
            "calls recorded": "16",
            "calls allowed": "6",
            "tests": "5",
            "processes": "3",
            "denials": "2",
            "calls lost": "0",
        }
        assert figures["calls lost"].note == "1 detail lost"
        assert figures["denials"].alarming
        assert not figures["calls lost"].alarming

    def test_each_call_has_its_tests_and_what_the_profile_says_of_it(self):
        calls = categories(page())
        assert [use.test.rpartition("_")[2] for use in calls["openat"].uses] == [
            "read",
            "write",
            "again",
            "upload",
        ]
        assert (calls["openat"].tests, calls["openat"].state) == (4, "")
        assert (calls["capset"].tests, calls["capset"].uses[0].phase) == (0, "runtime")
        assert calls["reboot"].state == UNSEEN
        assert calls["ptrace"].state == MISSING
        assert calls["#999"].state == NAMELESS
        assert calls["mmap2"].abis == ("x86",)
        assert calls["mmap2"].uses[0].executable == "(too many)"

    def test_the_stages_of_a_test_are_one_test_and_equal_tests_are_together(self):
        groups = {group.names: group for group in page().groups}
        alone = groups[(TEST,)]
        assert set(alone.only) == {"socket", "connect", "kill", "mmap2"}
        assert alone.total == 7
        alike = ("tests/test_app.py::test_again", "tests/test_app.py::test_read")
        assert groups[alike].calls == ("openat",)
        assert page().common == ("close", "read")

    def test_what_the_runtime_calls_belongs_to_no_test(self):
        first = small().calls[0]
        made = page(replace(small(), calls=(replace(first, context="a test"),)))
        assert (made.tests, made.groups) == (0, ())
        assert "No test was marked" in made.warnings[-1]

    def test_a_call_is_shown_by_the_application_first_and_then_by_time(self):
        first = small().calls[1]
        later = replace(first, phase="app", first=replace(first.first, time=7.0))
        made = categories(page(replace(small(), calls=(first, later))))
        assert [use.seconds for use in made["execve"].uses] == ["7.000"]

    def test_a_refused_call_is_shown_once(self):
        denials = page().denials
        assert [(each.call, each.outcome, each.count) for each in denials] == [
            ("mkdir", "EPERM", 3),
            ("unshare", "EPERM", 0),
        ]
        assert denials[0].frames == (("python", "app.py:31 upload"), ("native", "libc.so.6+0xf7f37 mkdir"))

    def test_lost_calls_are_said_first(self):
        made = page(replace(small(), losses=Losses(calls=2, denials=1)))
        assert made.warnings[0].startswith("The recorder lost 2 calls")
        assert "denials were lost" in made.warnings[1]
        assert next(each for each in made.figures if each.label == "calls lost").alarming

    def test_several_recordings_are_one_page(self):
        other = replace(small(), image="other:1", kernel="6.19.0")
        made = compose([small(), other], profile=Allowance(label="p", names=NAMES))
        assert dict(made.facts)["Image"] == "registry.example/shop/app:1.2, other:1"
        assert made.tests == 5

    def test_a_recording_of_nothing(self):
        made = page(replace(small(), calls=(), denials=()), names=())
        text = html(made, version="1")
        assert "Denials" not in text
        assert "<svg viewBox" not in text.replace('<svg class="bar" viewBox', "")
        Structure(text)

    def test_the_curve_lies_within_its_picture(self):
        made = drawing(POINTS)
        numbers = [
            tuple(map(float, point.split())) for point in re.split("[MLZ]", made.line + made.band) if point
        ]
        assert all(made.left <= x <= made.right and made.top <= y <= made.bottom for x, y in numbers)
        assert [tick.label for tick in made.across] == ["0", "1", "2", "3", "4", "5"]
        assert len(drawing(POINTS[:1]).up) > 1


class TestRedaction:
    SECRETS = ("secret", "hunter2", "0xdeadbeef", "/usr/bin", "/usr/lib", "O_CLOEXEC", "0o777")

    def test_by_default(self):
        text = html(full(), version="1")
        assert [word for word in self.SECRETS if word in text] == []
        assert "run.sh (and 2 arguments)" in text

    def test_everything_on_demand(self):
        text = html(full(arguments=True), version="1")
        assert [word for word in self.SECRETS if word not in text] == []

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("/home/me/tests/test_a.py::test_b", "test_a.py::test_b"),
            ("tests/test_a.py::test_b[/etc/secret.txt]", "tests/test_a.py::test_b[secret.txt]"),
            ("pytest /home/me/suite -k x", "pytest suite -k x"),
            ("one/two", "one/two"),
        ],
    )
    def test_of_names_with_paths_in_them(self, name, expected):
        call = replace(small().calls[5], context=name)
        made = page(replace(small(), calls=(call,)))
        assert made.groups[0].names == (expected,)


class TestHostile:
    @staticmethod
    def drawn(text, *, arguments=False):
        made = compose(
            [hostile(text)],
            profile=Allowance(label=text or "x", names=(f"{text}a", f"{text}z"), conditional=(f"{text}a",)),
            others=(Allowance(label=text or "x", names=("read",)),),
            comparison=Comparison(label=f"a{text}", difference=difference(text)),
            bracket=reachable(text),
            curve=POINTS,
            completeness=(text,),
            title=text,
            arguments=arguments,
            notes=(text,),
        )
        return html(made, version="1")

    @pytest.mark.parametrize("payload", PAYLOADS)
    def test_known_tricks_add_no_element_and_no_attribute(self, payload):
        for arguments in (False, True):
            text = self.drawn(payload, arguments=arguments)
            benign = self.drawn("benign", arguments=arguments)
            assert Structure(text).elements == Structure(benign).elements

    @settings(max_examples=60, deadline=None)
    @given(HOSTILE)
    def test_no_text_adds_an_element_or_an_attribute(self, payload):
        text = self.drawn(payload)
        assert Structure(text).elements == Structure(self.drawn("benign")).elements
        # Nothing invisible, nothing that reorders, nothing that cannot be encoded.
        assert all(letter == "\n" or letter.isprintable() for letter in text)

    def test_style_and_script_are_ours_alone(self):
        words = Structure(self.drawn("</style></script><script>alert(1)</script>{{ 7 * 7 }}")).words
        for tag in ("style", "script"):
            (found,) = [data for inside, data in words if inside == tag]
            assert found == (TEMPLATES / f"report.{'css' if tag == 'style' else 'js'}").read_text()

    def test_long_names_are_cut(self):
        assert len(self.drawn("\U000e0100" * 1000)) < 200_000


class TestInert:
    def test_the_policy_admits_the_style_and_the_script_by_hash_and_nothing_else(self):
        found = Structure(html(full(), version="1"))
        policy = next(each["content"] for each in found.of("meta") if "http-equiv" in each)
        hashes = {
            tag: b64encode(
                sha256("".join(data for at, data in found.words if at == tag).encode()).digest()
            ).decode()
            for tag in ("style", "script")
        }
        assert policy.split("; ") == [
            "default-src 'none'",
            f"style-src 'sha256-{hashes['style']}'",
            f"script-src 'sha256-{hashes['script']}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]

    def test_nothing_is_loaded_and_nothing_runs_from_attributes(self):
        found = Structure(html(full(), version="1"))
        names = {name for _, attributes in found.elements for name, _ in attributes}
        assert not {
            name for name in names if name.startswith("on") or name in ("src", "style", "srcset", "action")
        }
        assert all(each["href"].startswith(("#", "data:,")) for each in found.of("a") + found.of("link"))
        assert "url(" not in (TEMPLATES / "report.css").read_text()
        assert "@import" not in (TEMPLATES / "report.css").read_text()

    def test_without_script_nothing_is_missing(self):
        (box,) = [
            each for each in Structure(html(full(), version="1")).of("div") if each.get("id") == "filter"
        ]
        assert "hidden" in box


class TestAccessibility:
    found = Structure(html(full(), version="1"))

    def test_language_title_and_headings_in_order(self):
        assert self.found.of("html") == [{"lang": "en"}]
        assert next(data for at, data in self.found.words if at == "title").startswith("System calls of ")
        levels = [int(tag[1]) for tag, _ in self.found.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))

    def test_every_header_of_a_table_says_what_it_is_of(self):
        assert {each.get("scope") for each in self.found.of("th")} == {"col", "row"}
        assert len(self.found.of("caption")) == len(self.found.of("table"))

    def test_every_link_leads_somewhere_and_every_id_is_there_once(self):
        ids = [dict(attributes)["id"] for tag, attributes in self.found.elements if "id" in dict(attributes)]
        assert len(ids) == len(set(ids))
        assert {each["href"][1:] for each in self.found.of("a")} <= set(ids)

    @pytest.mark.parametrize("scheme", ["light", "dark", "print"])
    def test_contrast(self, scheme):
        text = (TEMPLATES / "report.css").read_text()
        palettes = [
            dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
            for block in re.findall(r":root \{([^}]*)\}", text)
        ]
        assert len(palettes) == 3
        colours = palettes[("light", "dark", "print").index(scheme)]
        pairs = [(front, back) for front in ("text", "muted", "link", "alarm") for back in ("back", "panel")]
        pairs += [("on-tier", tier) for tier in ("critical", "high", "medium", "low")]
        for front, back in pairs:
            assert contrast(colours[front], colours[back]) >= 4.5, (front, back)

    def test_focus_is_visible(self):
        assert ":focus-visible { outline: 3px" in (TEMPLATES / "report.css").read_text()


def contrast(one, two):
    """WCAG 2.2, "contrast ratio"."""
    values = sorted(luminance(colour) for colour in (one, two))
    return (values[1] + 0.05) / (values[0] + 0.05)


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.slow
def test_a_large_suite_is_drawn_in_bounds():
    recording = large(5000, 300)
    names = tuple(sorted(recording.names()))
    made = compose([recording], profile=Allowance(label="p", names=names), curve=POINTS)
    text = html(made, version="1")
    assert len(text.encode()) < 10_000_000
    assert made.more_groups > 0
    assert categories(made)["read"].more > 4000
    assert "groups of tests more." in text


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path):
        (tmp_path / "app.rec").write_text(store.dumps(small()))
        rules = (Rule(names=("read", "close", "reboot"), action="SCMP_ACT_ALLOW"),)
        (tmp_path / "old.json").write_text(oci.dumps(Profile(default_action="SCMP_ACT_ERRNO", rules=rules)))
        return tmp_path

    @staticmethod
    def run(*arguments):
        result = CliRunner().invoke(command, [str(each) for each in arguments], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result

    def test_the_page_of_a_recording(self, files):
        out = files / "out.html"
        result = self.run(files / "app.rec", "-o", out, "--title", "Shop")
        assert (result.return_value, result.stderr) == (0, f"seclude: wrote {out}\n")
        text = out.read_text()
        assert looks_like_report(text)
        assert "<h1>Shop</h1>" in text
        assert "The next test like these" in text
        self.run(files / "app.rec", "-o", out)
        assert "<h1>Shop</h1>" not in out.read_text()

    def test_a_profile_and_the_previous_one(self, files):
        text = self.run(
            files / "app.rec", "-o", "-", "--profile", files / "old.json", "--previous", files / "old.json"
        ).stdout
        assert "Both profiles mean the same." in text
        text = self.run(files / "app.rec", "-o", "-", "--previous", files / "old.json").stdout
        assert '<td class="kept">removed</td>' in text
        assert str(files) not in text
        assert "no profile" in self.run(files / "app.rec", "-o", "-", "--previous", os.devnull).stdout

    def test_the_default_of_an_engine(self, files):
        text = self.run(files / "app.rec", "-o", "-", "--engine-default", files / "old.json").stdout
        assert '<th scope="row">The engines&#39; default</th><td class="number">3</td>' in text
        with pytest.raises(ProfileError, match="cannot be read"):
            self.run(files / "app.rec", "-o", "-", "--engine-default", files / "none.json")

    def test_what_can_be_reached(self, files):
        scanned = files / "scan.json"
        place = {"file": "libc.so.6", "function": "open"}
        fields = {name: [] for name in "recorded beyond outside unresolved opening undefined files".split()}
        fields |= {"kind": "scan", "version": 1, "exact": True, "known": 385, "seconds": 0.1}
        fields |= {"programs": {"/usr/bin/python3.11": "/usr/bin/python3.11"}, "unread": {}}
        fields |= {"functions": {"reachable": 2, "all": 3}, "reachable": {"openat": place, "bpf": place}}
        scanned.write_text(json.dumps(fields))
        text = self.run(files / "app.rec", "-o", "-", "--scan", scanned).stdout
        assert '<h2 id="reach">' in text
        # The scan was made without a recording; the page holds its own against it.
        assert "1 call that can be reached and was not recorded" in text
        assert "nothing explains it" in text
        assert "What is open" not in text
        for change, wrong in (
            ({"version": 2}, "has version 2; this seclude reads version 1"),
            ({"kind": "x"}, "is no scan"),
            ({"more": 1}, "unknown field 'more'"),
            ({"unread": []}, "unread must be an object"),
            ({"reachable": {"nothing": place}}, "'nothing' is no call of x86_64"),
            ({"reachable": {"bpf": {}}}, "file must be a text"),
            ({"unresolved": [{"file": "x", "address": True}]}, "address must be a whole number"),
        ):
            scanned.write_text(json.dumps(fields | change))
            with pytest.raises(SecludeError, match=wrong):
                self.run(files / "app.rec", "-o", "-", "--scan", scanned)

    def test_nothing_but_a_report_is_replaced(self, files):
        with pytest.raises(OutputError, match="is no report of seclude"):
            self.run(files / "app.rec", "-o", files / "app.rec")


def test_what_a_profile_allows_somewhere():
    profile = Profile(
        default_action="SCMP_ACT_ERRNO",
        rules=(
            Rule(names=("read", "nothing"), action="SCMP_ACT_ALLOW"),
            Rule(names=("mount",), action="SCMP_ACT_ALLOW", includes=Filter(caps=("CAP_SYS_ADMIN",))),
            Rule(
                names=("socket",),
                action="SCMP_ACT_ALLOW",
                args=(Argument(index=0, value=1, op="SCMP_CMP_EQ"),),
            ),
        ),
    )
    where = Environment(machine="x86_64", kernel="6.1", capabilities=())
    known = frozenset({"read", "mount", "socket", "write"})
    made = allowance("p", profile, where, known)
    assert (made.names, made.conditional) == (("read", "socket"), ("socket",))
    admin = replace(where, capabilities=("CAP_SYS_ADMIN",))
    assert "mount" in allowance("p", profile, admin, known).names
    openly = Profile(
        default_action="SCMP_ACT_ALLOW", rules=(Rule(names=("mount",), action="SCMP_ACT_ERRNO"),)
    )
    assert allowance("p", openly, where, known).names == ("read", "socket", "write")
