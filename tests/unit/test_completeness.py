"""Completeness: estimates and bounds against known values, the curve against counting, clear words for bad input."""

import random
from itertools import combinations, pairwise
from math import comb, hypot

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.analyse.completeness import (
    MOST_POINTS,
    chao2,
    completeness,
    curve,
    estimate,
    leave_file_out,
    lone_calls,
    share_bound,
    upper_bound,
)
from seclude.analyse.incidence import by_file, by_recording, by_test, chosen, file_of
from seclude.analyse.incidence import test_of as unit_of
from seclude.model.completeness import Estimate, Incidence, LoneCall, Unknown
from seclude.model.recording import OVERFLOW, Call, Dropped, Losses, Recording


def recording(calls, **fields):
    """One with (context, names) pairs."""
    made = tuple(
        Call(abi="x86_64", phase=phase, context=context, number=0, name=name, first=Dropped())
        for context, names, phase in (entry if len(entry) == 3 else (*entry, "app") for entry in calls)
        for name in names.split()
    )
    values = {
        "created": "2026-01-01T00:00:00Z",
        "duration": 1.0,
        "seclude": "0.1.0",
        "tracer": "ebpf",
        "kernel": "6.1.0",
        "machine": "x86_64",
        "engine": "process",
    }
    return Recording(calls=made, **(values | fields))


def incidence(*units, outside=""):
    return of([calls.split() for calls in units], outside.split())


def of(units, outside):
    makers = {}
    for index, calls in enumerate(units):
        for call in set(map(str, calls)):
            makers[call] = makers.get(call, 0) | 1 << index
    names = tuple(f"t{index}" for index in range(len(units)))
    return Incidence(kind="test", names=names, makers=makers, outside=frozenset(map(str, outside)))


def calls_of(units):
    return [units.calls_of(number) for number in range(len(units.names))]


def table(units):
    return {name: sorted(calls) for name, calls in zip(units.names, calls_of(units), strict=True)}


incidences = st.builds(
    of,
    st.lists(st.sets(st.integers(0, 12)), min_size=1, max_size=8),
    st.sets(st.integers(0, 3)),
)


def without(tests, *left_out):
    """What is made when some units are left out."""
    kept = (calls for number, calls in enumerate(calls_of(tests)) if number not in left_out)
    return tests.outside.union(*kept)


class TestUpperBound:
    # One-sided 95 % limits, as in tables of Clopper and Pearson's 90 % intervals.
    @pytest.mark.parametrize(
        ("hits", "trials", "expected"),
        [
            (0, 10, 0.259),
            (1, 10, 0.394),
            (2, 10, 0.507),
            (3, 10, 0.607),
            (5, 10, 0.778),
            (9, 10, 0.995),
            (0, 20, 0.139),
            (1, 20, 0.216),
            (2, 20, 0.283),
            (0, 100, 0.0295),
        ],
    )
    def test_tables(self, hits, trials, expected):
        assert upper_bound(hits, trials) == pytest.approx(expected, abs=0.0006)

    def test_none_is_the_rule_of_three(self):
        for trials in (1, 7, 50, 3000):
            assert upper_bound(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-6)
            assert upper_bound(0, trials) <= 3 / trials

    def test_all_is_everything(self):
        assert upper_bound(4, 4) == 1.0

    @settings(deadline=None)
    @given(st.integers(1, 400).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
    def test_the_bound_explains_the_hits_just_so(self, drawn):
        hits, trials = drawn
        bound = upper_bound(hits, trials)
        assert hits / trials <= bound <= 1.0
        if hits < trials:
            tail = sum(comb(trials, k) * bound**k * (1 - bound) ** (trials - k) for k in range(hits + 1))
            assert tail == pytest.approx(0.05, abs=1e-6)
            assert bound <= upper_bound(hits + 1, trials)


class TestChao2:
    def test_worked_by_hand(self):
        # Four samples, three species in one of them, one in two: 3/4 * 3 * 2 / (2 * 2).
        assert chao2(4, 3, 1) == pytest.approx(1.125)

    def test_trees_of_barro_colorado(self):
        # 50 plots, 225 species, 21 of one plot and 19 of two (Condit et al. 2002; the vegan package's BCI): the classic
        # form gives 236.37, the bias-corrected one lies below it.
        classic = 225 + 49 / 50 * 21**2 / (2 * 19)
        assert classic == pytest.approx(236.373, abs=0.001)
        assert 225 + chao2(50, 21, 19) == pytest.approx(235.29)

    def test_none_is_missing_without_singles(self):
        assert chao2(10, 0, 0) == chao2(10, 1, 0) == 0.0


class TestEstimate:
    def test_by_hand(self):
        found = estimate(incidence("a b c", "a b", "a d", "a"))
        assert isinstance(found, Estimate)
        assert (found.units, found.lone, found.single, found.double) == (4, 2, 2, 1)
        assert (found.risk, found.new_calls, found.missing) == (0.5, 0.5, 0.375)
        # 2 of 41 is the first share below 5 %.
        assert found.more_runs == 37
        assert found.bound == pytest.approx(upper_bound(2, 4))

    def test_pairs_by_hand(self):
        # p is made by two that do not stand alone, q by two as well, of which one does; r and s are of one pair.
        found = estimate(incidence("p a", "p a", "q x a", "q a", "r s a", "r s a"))
        assert isinstance(found, Estimate)
        assert (found.lone, found.double, found.pairs) == (1, 4, 2)
        assert found.binomial == pytest.approx(upper_bound(1, 6))
        wide = 1.645 * (2 * 2) ** 0.5 / 6
        expected = 1 / 6 + ((found.binomial - 1 / 6) ** 2 + wide**2) ** 0.5
        assert found.bound == pytest.approx(min(1.0, expected))

    def test_what_few_tests_do_has_luck_in_it(self):
        found = estimate(incidence("x a", *("a",) * 99))
        assert isinstance(found, Estimate)
        bounds = [share_bound(found, tests) for tests in (1, 10, 100, 10**9)]
        assert bounds == sorted(bounds, reverse=True)
        assert bounds[-1] == pytest.approx(found.bound, abs=1e-4)
        luck = 1.645 * (found.bound * (1 - found.bound) / 100) ** 0.5
        assert bounds[2] == pytest.approx(0.01 + hypot(found.bound - 0.01, luck))

    def test_the_bounds_hold_where_calls_come_in_pairs(self):
        """Rare calls that are made twice or not at all: what Clopper and Pearson's bound is too low for."""
        draw = random.Random(1)
        population = [{"a", *({f"c{number // 2}"} if number < 240 else ())} for number in range(400)]
        held = dict.fromkeys(("binomial", "bound", "share"), 0)
        for _ in range(300):
            order = draw.sample(population, 400)
            found = estimate(of(order[:200], []))
            known = set().union(*order[:200])
            share = sum(bool(calls - known) for calls in order[200:]) / 200
            held["binomial"] += share <= found.binomial
            held["bound"] += share <= found.bound
            held["share"] += share <= share_bound(found, 200)
        assert held["binomial"] < held["bound"] <= held["share"]
        assert held["share"] >= 0.93 * 300

    def test_a_call_made_outside_is_nobodys(self):
        found = estimate(incidence("a c", "a", outside="c"))
        assert isinstance(found, Estimate)
        assert (found.lone, found.single, found.more_runs) == (0, 0, 0)

    @pytest.mark.parametrize("units", [(), ("a b",)])
    def test_too_few(self, units):
        found = estimate(incidence(*units))
        assert isinstance(found, Unknown)
        assert found.reason.startswith("cannot be said")
        assert found.units == len(units)

    @settings(deadline=None)
    @given(incidences)
    def test_leaving_one_out_is_what_is_counted(self, tests):
        found = estimate(tests)
        if isinstance(found, Unknown):
            assert len(tests.names) < 2
            return
        units = calls_of(tests)
        new = [calls - without(tests, number) for number, calls in enumerate(units)]
        assert found.lone == sum(map(bool, new))
        assert found.single == sum(map(len, new))
        assert sorted(call for calls in new for call in calls) == sorted(
            each.call for each in lone_calls(tests)
        )
        assert 0 <= found.risk <= found.bound <= 1
        assert found.lone <= found.single
        assert found.risk <= found.binomial <= found.bound
        assert found.binomial == pytest.approx(upper_bound(found.lone, found.units))
        # Neither has a new call when it alone is left out, and both have one when both are.
        assert found.pairs == sum(
            not (new[one] or new[two])
            and bool(units[one] - without(tests, one, two))
            and bool(units[two] - without(tests, one, two))
            for one, two in combinations(range(len(units)), 2)
        )
        assert found.missing >= 0
        units = found.units + found.more_runs
        assert found.lone / units < 0.05
        assert found.more_runs == 0 or found.lone / (units - 1) >= 0.05


class TestCurve:
    @settings(deadline=None)
    @given(incidences)
    def test_it_is_the_mean_of_all_choices(self, tests):
        points = curve(tests)
        assert [point.units for point in points] == list(range(1, len(tests.names) + 1))
        for point in points:
            sizes = [
                len(tests.outside.union(*picked)) for picked in combinations(calls_of(tests), point.units)
            ]
            mean = sum(sizes) / len(sizes)
            spread = (sum((size - mean) ** 2 for size in sizes) / len(sizes)) ** 0.5
            assert point.calls == pytest.approx(mean, abs=1e-6)
            assert point.low == pytest.approx(max(len(tests.outside), mean - 1.96 * spread), abs=1e-4)

    @settings(deadline=None)
    @given(incidences)
    def test_it_rises_ever_less_within_its_bounds(self, tests):
        points = curve(tests)
        means = [len(tests.outside), *(point.calls for point in points)]
        steps = [after - before for before, after in pairwise(means)]
        assert all(step >= -1e-9 for step in steps)
        assert all(after <= before + 1e-9 for before, after in pairwise(steps))
        everything = tests.outside.union(*calls_of(tests))
        assert all(point.low <= point.calls + 1e-9 for point in points)
        assert all(point.calls <= point.high + 1e-9 for point in points)
        assert points[-1].calls == points[-1].low == points[-1].high == pytest.approx(len(everything))

    def test_many_units_are_thinned_out(self):
        tests = incidence(*(f"a b{number % 50} c{number}" for number in range(1000)))
        points = curve(tests)
        assert len(points) == MOST_POINTS
        assert (points[0].units, points[-1].units) == (1, 1000)
        assert points[0].calls == pytest.approx(3)
        assert points[-1].calls == pytest.approx(1051)

    def test_none(self):
        assert curve(incidence()) == ()


class TestUnits:
    @pytest.mark.parametrize(
        ("context", "test", "file"),
        [
            ("t/a.py::test_b|call", "t/a.py::test_b", "t/a.py"),
            ("t/a.py::test_b|setup", "t/a.py::test_b", "t/a.py"),
            ("t/a.py::C::test_b[x-1]|teardown", "t/a.py::C::test_b", "t/a.py"),
            ("t/a.py::test_b[a[0]::b]", "t/a.py::test_b", "t/a.py"),
            ("t/a.py::test_b[a|call]|call", "t/a.py::test_b", "t/a.py"),
            ("test -e [x]", "test -e [x]", ""),
            ("git log", "git log", ""),
        ],
    )
    def test_names(self, context, test, file):
        assert unit_of(context) == test
        assert file_of(test) == file

    def test_parts_and_parameters_are_one_test_and_starts_are_outside(self):
        seen = recording(
            [
                ("", "execve brk"),
                ("", "setuid", "runtime"),
                ("a.py::x[1]|setup", "openat"),
                ("a.py::x[2]|call", "brk socket"),
                ("a.py::y|call", "read"),
                ("a.py::y|call", "ptrace", "denied"),
            ]
        )
        tests = by_test([seen, seen])
        assert table(tests) == {"a.py::x": ["brk", "openat", "socket"], "a.py::y": ["read"]}
        assert tests.outside == {"execve", "brk"}

    def test_recordings_without_contexts_are_the_units(self):
        tests = by_test([recording([("", "a b")]), recording([("", "a")]), recording([("t", "c")])])
        assert tests.names == ("recording 1", "recording 2", "t")

    def test_files_and_recordings(self):
        seen = recording([("a.py::x", "a"), ("a.py::y", "b"), ("b.py::x", "c"), ("loose", "d")])
        files = by_file(by_test([seen]))
        assert table(files) == {"a.py": ["a", "b"], "b.py": ["c"]}
        assert files.outside == {"d"}
        assert list(map(len, calls_of(by_recording([seen, recording([("", "a")])])))) == [4, 1]

    def test_some_of_the_units(self):
        some = chosen(incidence("a b", "a", "c", outside="o"), [2, 0])
        assert table(some) == {"t2": ["c"], "t0": ["a", "b"]}
        assert (some.outside, some.inside()) == ({"o"}, {"a": 2, "b": 2, "c": 1})

    def test_a_call_that_is_made_outside_too_is_inside_no_more(self):
        tests = by_test([recording([("", "a"), ("x", "a b")])])
        assert (tests.makers, tests.inside()) == ({"a": 1, "b": 1}, {"b": 1})

    def test_the_order_of_calls_is_no_matter(self):
        calls = [("x", "a"), ("y", "b"), ("x", "b"), ("z", "a"), ("", "c")]
        assert by_test([recording(calls)]) == by_test([recording(calls[::-1])])

    def test_what_is_beyond_the_limit_is_outside(self):
        seen = recording([("a", "x"), ("b", "y"), (OVERFLOW, "y z")])
        assert by_test([seen]).outside == {"y", "z"}
        found = completeness([seen])
        assert any("too good" in note for note in found.notes)

    def test_leave_file_out(self):
        assert leave_file_out(incidence("a", "b")) == -1.0
        seen = recording([("a.py::x", "a k"), ("a.py::y", "a"), ("b.py::x", "b"), ("b.py::y", "k")])
        # a is of one file, and so is b; k is of both.
        assert leave_file_out(by_test([seen])) == 0.75


class TestAccount:
    def test_no_test(self):
        for given_recordings in ([], [recording([])], [recording([("", "execve", "runtime")])]):
            found = completeness(given_recordings)
            assert isinstance(found.estimate, Unknown)
            assert found.estimate.reason == "cannot be said: no test made a call"
            assert found.curve == found.lone_calls == ()

    def test_one_test(self):
        for seen in (recording([("", "a b")]), recording([("t", "a b")])):
            found = completeness([seen])
            assert isinstance(found.estimate, Unknown)
            assert found.estimate.reason == "cannot be said: the recording has one unit"
            assert found.calls == 2
            assert "mark the tests" in found.notes[0]

    def test_units_that_disagree(self):
        calls = [(f"{file}.py::t{number}", f"common own{file}") for file in range(4) for number in range(30)]
        found = completeness([recording(calls)])
        assert isinstance(found.estimate, Estimate)
        assert (found.estimate.risk, found.apart) == (0.0, 1.0)
        (files,) = found.others
        assert (files.kind, files.risk) == ("file", 1.0)
        assert found.notes[0].startswith("by test files the risk is 100.0 % (4 of 4), by tests 0.0 %")
        assert found.notes[1].startswith("100.0 % of the tests make a call that no test of another file")

    def test_units_that_agree(self):
        calls = [
            (f"{number}.py::t", f"common {'' if number % 4 else f'own{number}'}") for number in range(40)
        ]
        assert completeness([recording(calls)]).notes == ()

    def test_lone_calls(self):
        found = completeness([recording([("x", "a c b"), ("y", "a")])])
        assert found.lone_calls == (LoneCall(call="b", unit="x"), LoneCall(call="c", unit="x"))
        assert found.notes == ("2 tests are few: go by the upper bound",)

    def test_losses(self):
        found = completeness([recording([("x", "a"), ("y", "a")], losses=Losses(calls=1))])
        assert found.notes[-1].startswith("the recorder lost calls")

    def test_five_thousand_tests(self):
        calls = [
            (f"f{number % 90}.py::t{number}", " ".join(f"c{number * step % 300}" for step in range(1, 9)))
            for number in range(5000)
        ]
        found = completeness([recording(calls)])
        assert isinstance(found.estimate, Estimate)
        assert found.estimate.units == 5000
