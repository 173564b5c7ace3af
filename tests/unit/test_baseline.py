"""Baselines: the shipped data are sound, and a runtime's version and no-new-privileges choose among them."""

import json

import pytest

from seclude import baseline
from seclude.baseline import automatic, baselines, calls_of
from seclude.errors import SecludeError
from seclude.model.recording import Recording
from seclude.syscalls import number_of

EVERY = baselines()


def recording(**fields):
    values = {"runtime": "crun", "engine": "podman"} | fields
    return Recording(
        created="", duration=1, seclude="0", tracer="ebpf", kernel="6.1", machine="x86_64", calls=(), **values
    )


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Data of two versions of runc, instead of those shipped."""
    entries = [
        {
            "runtime": runtime,
            "version": version,
            "no_new_privileges": nnp,
            "calls": calls.split(),
            "varying": varying.split(),
            "obtained": "made up",
        }
        for runtime, version, nnp, calls, varying in (
            ("runc", "1.1.5", False, "execve futex old", "futex"),
            ("runc", "1.3.0", False, "execve futex openat2", "futex"),
            ("runc", "1.10.0", False, "execve futex newest", "futex"),
            ("runc", "1.1.5", True, "execve", ""),
            ("crun", "1.8.1", False, "execve capset", ""),
            ("crun", "1.8.1", True, "execve", ""),
        )
    ]
    path = tmp_path / "baselines.json"
    path.write_text(json.dumps({"version": 1, "baselines": entries}))
    reading = baseline.baselines
    monkeypatch.setattr(baseline, "baselines", lambda: reading(str(path)))


class TestShipped:
    def test_each_runtime_with_and_without_new_privileges(self):
        assert {(item.runtime, item.no_new_privileges) for item in EVERY} >= {
            (runtime, nnp) for runtime in ("runc", "crun") for nnp in (False, True)
        }

    @pytest.mark.parametrize(
        "item", EVERY, ids=lambda item: f"{item.runtime}-{item.version}-{item.no_new_privileges}"
    )
    def test_sound(self, item):
        assert "execve" in item.calls
        assert list(item.calls) == sorted(set(item.calls))
        assert set(item.varying) <= set(item.calls)
        assert all(number_of("x86_64", name) is not None for name in item.calls)
        assert not set(item.calls) & {"mount", "pivot_root", "umount2", "sethostname", "seccomp"}
        assert item.obtained

    @pytest.mark.parametrize("text", ["[]", "{}", '{"version": 2, "baselines": []}'])
    def test_another_version(self, text, tmp_path):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(SecludeError, match="is not of version 1"):
            baselines(str(tmp_path / "b.json"))


@pytest.mark.usefixtures("data")
class TestChoice:
    @pytest.mark.parametrize(
        ("version", "call"),
        [
            ("1.1.5", "old"),
            ("1.1.5+ds1", "old"),
            ("1.2.9", "old"),
            ("1.3.0", "openat2"),
            ("1.9.9-rc.1", "openat2"),
            ("1.10", "openat2"),
            ("1.10.0", "newest"),
            ("2.0", "newest"),
            ("", "newest"),
            ("1.0.0", "old"),
            ("garbage", "old"),
        ],
    )
    def test_the_newest_that_is_not_newer(self, version, call):
        assert calls_of(["runc"], no_new_privileges=False, version=version) == tuple(
            sorted(["execve", "futex", call])
        )

    def test_of_several_runtimes(self):
        assert calls_of(["runc", "crun"], no_new_privileges=False) == ("capset", "execve", "futex", "newest")
        assert calls_of(["crun"], no_new_privileges=True) == ("execve",)
        assert calls_of([], no_new_privileges=True) == ()

    def test_unknown(self):
        with pytest.raises(SecludeError, match="no baseline for the runtime 'youki'") as failure:
            calls_of(["youki"], no_new_privileges=False)
        assert failure.value.hint == "known: crun, runc, or none"

    def test_a_plain_process_needs_nothing(self):
        assert automatic(recording(engine="process", runtime="")) == ()

    def test_a_confined_container_needs_what_varies(self):
        assert automatic(recording(runtime="runc", confined=True, runtime_version="1.1.5")) == ("futex",)
        assert automatic(recording(confined=True)) == ()

    def test_an_unconfined_container_needs_all(self):
        assert automatic(recording(runtime="runc", runtime_version="1.3.1")) == ("execve", "futex", "openat2")
        assert automatic(recording(no_new_privileges=True)) == ("execve",)

    def test_an_unknown_runtime_may_be_any(self):
        assert automatic(recording(runtime="youki")) == ("capset", "execve", "futex", "newest")
        assert automatic(recording(runtime="", confined=True)) == ("futex",)
