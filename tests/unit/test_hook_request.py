"""The hook's input: a container's state and annotations in, a request out, or one error that quotes what was wrong."""

import json

import pytest

from seclude.errors import SecludeError
from seclude.hook import ANNOTATION, places_of, request_of, run, state_of
from seclude.registrations import Request

RECORDING = "io.seclude.recording"


def request(trace=None, **others):
    annotations = {} if trace is None else {ANNOTATION: trace}
    return request_of(annotations | {f"io.seclude.{name}": value for name, value in others.items()})


def refusal(trace=None, **others):
    with pytest.raises(SecludeError) as failure:
        request(trace, **others)
    assert str(failure.value).isprintable()
    return failure.value.message


class TestRequests:
    def test_none(self):
        assert request_of({}) is None
        assert request_of({"io.kubernetes.cri-o.ImageName": "x", "io.seclude.counts": "true"}) is None

    @pytest.mark.parametrize(
        "trace",
        ["of:/out;if:/in", "if:/in;of:/out", " of:/out ; if:/in ", "of:/out;if:/in;", ";;of:/out;;if:/in"],
    )
    def test_paths_in_either_order(self, trace):
        assert request(trace) == Request(profile="/out", base="/in")

    def test_output_alone(self):
        assert request("of:/out") == Request(profile="/out")

    def test_a_path_may_hold_colons_and_blanks(self):
        assert request("of:/out: a b").profile == "/out: a b"

    def test_a_recording(self):
        assert request(recording="/r") == Request(recording="/r")
        assert request("of:/out", recording="/r") == Request(profile="/out", recording="/r")

    def test_a_base_for_a_recording(self):
        assert request(recording="/r", base="/b") == Request(recording="/r", base="/b")
        assert request("of:/o;if:/i", base="/b").base == "/i"

    @pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False), ("", False)])
    def test_switches(self, value, expected):
        assert request("of:/out", counts=value) == Request(profile="/out", counts=expected)
        assert request("of:/out", denials=value) == Request(profile="/out", denials=expected)


class TestRefusals:
    @pytest.mark.parametrize("trace", ["of:out", "of:./out", "of:", "of: /out", "if:in;of:/out"])
    def test_relative_paths(self, trace):
        assert refusal(trace).endswith("is no absolute path")

    def test_two_outputs(self):
        assert refusal("of:/a;of:/b").endswith("of: is given twice, '/a' and '/b'")
        assert refusal("of:/a;if:/b;if:/c").endswith("if: is given twice, '/b' and '/c'")

    @pytest.mark.parametrize("trace", ["", " ", ";", "if:/in"])
    def test_no_output(self, trace):
        assert refusal(trace).endswith("names no output")

    @pytest.mark.parametrize("trace", ["/out", "to:/out", "OF:/out", "of/out", "of:/out;x"])
    def test_unknown_prefixes(self, trace):
        assert "begins with neither of: nor if:" in refusal(trace)

    @pytest.mark.parametrize("value", ["r", "", "./r"])
    def test_a_recording_without_an_absolute_path(self, value):
        assert "io.seclude.recording" in refusal(recording=value)

    @pytest.mark.parametrize("value", ["1", "True", "yes", "\x1b[31m"])
    def test_switches(self, value):
        assert "io.seclude.counts" in refusal("of:/out", counts=value)

    @pytest.mark.parametrize("value", [3, True, ["of:/out"], {"of": "/out"}])
    def test_what_is_no_string(self, value):
        assert refusal(value).endswith("is no string")

    @pytest.mark.parametrize("text", ["\x1b[2J", "\n", "\u202e", "x" * 100_000])
    def test_hostile_text_is_quoted_and_cut(self, text):
        for trace in (text, f"of:{text}", f"of:/a;of:/{text}", f"no:{text}"):
            assert len(refusal(trace)) < 1000


class TestStates:
    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            (b"", "a JSON value is expected"),
            (b"{", "the container's state: line 1"),
            (b"[]", "holds no OCI container state"),
            (b"{}", "holds no OCI container state"),
            (b'{"id": 3}', "holds no OCI container state"),
            (b'{"id": "\xff"}', "is not UTF-8 text"),
            (b" " * (16 * 1024 * 1024 + 1), "is larger than"),
        ],
    )
    def test_refused(self, raw, message):
        with pytest.raises(SecludeError, match=message):
            state_of(raw)

    def test_read(self):
        state = {"ociVersion": "1.0.2", "id": "x", "pid": 3, "annotations": {}}
        assert state_of(json.dumps(state).encode()) == state

    @pytest.mark.parametrize("annotations", [None, {}, [], "x"])
    def test_a_container_that_asks_for_nothing_is_left_alone(self, annotations):
        assert run({"id": "x", "annotations": annotations}, places_of([])) == ()

    @pytest.mark.parametrize("pid", [None, 0, -1, "3", 1.5])
    def test_no_process(self, pid):
        state = {"id": "x", "status": "creating", "pid": pid, "annotations": {ANNOTATION: "of:/out"}}
        with pytest.raises(SecludeError, match="has no process"):
            run(state, places_of([]))

    def test_the_end_of_a_container_that_was_never_registered(self, tmp_path):
        places = places_of(["--state-dir", str(tmp_path / "state")])
        state = {"id": "x", "status": "stopped", "annotations": {ANNOTATION: "of:/out"}}
        assert run(state, places) == ()
        assert list(tmp_path.iterdir()) == []

    def test_a_container_whose_recording_is_over_starts_unrecorded(self, tmp_path):
        """Only that of a `seclude record`, whose directory is gone: any other output must have one."""
        places = places_of(["--state-dir", str(tmp_path)])

        def start(recording):
            return run({"id": "x", "pid": 1, "annotations": {RECORDING: str(recording)}}, places)

        assert start(tmp_path / "session-gone" / "recording.json") == ()
        (tmp_path / "session-here").mkdir()
        for other in ("session-here/recording.json", "other/recording.json"):
            with pytest.raises(SecludeError):
                start(tmp_path / other)


class TestPlaces:
    def test_defaults(self):
        places = places_of([])
        assert (places.bpffs, places.state, places.policy) == (
            "/sys/fs/bpf",
            "/run/seclude",
            "/etc/seclude/policy.toml",
        )

    def test_given(self):
        places = places_of(["--policy", "/p", "--state-dir", "/s", "--bpffs", "/b"])
        assert (places.bpffs, places.state, places.policy) == ("/b", "/s", "/p")

    def test_paths_are_trusted_only_where_root_chose_them(self):
        assert places_of([]).trusted
        assert places_of(["--paths-by", "root"]).trusted
        for other in ("anyone", "", "ROOT"):
            assert not places_of(["--paths-by", other]).trusted

    @pytest.mark.parametrize(
        "arguments", [["--bpffs"], ["--other", "x"], ["x"], ["--bpffs", "/b", "--policy"]]
    )
    def test_refused(self, arguments):
        with pytest.raises(SecludeError, match="unknown or incomplete argument"):
            places_of(arguments)
