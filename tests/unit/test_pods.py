"""Annotations of a pod as each of its containers reads them, for containerd's and CRI-O's names of things."""

from __future__ import annotations

import re

import pytest

from seclude.bundlehooks import with_hooks
from seclude.engines.podman import ANNOTATIONS
from seclude.hook import request_of
from seclude.pods import is_pod, is_sandbox, own_annotations

TRACE = "io.containers.trace-syscall"
CONTAINERD = ("io.kubernetes.cri.container-type", "io.kubernetes.cri.container-name")
CRIO = ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.container.name")
ENGINES = pytest.mark.parametrize("engine", [CONTAINERD, CRIO], ids=["containerd", "crio"])


def of(engine, name, kind="container"):
    return {engine[0]: kind, engine[1]: name}


@ENGINES
def test_what_names_the_container_stands_for_what_does_not(engine):
    annotations = of(engine, "web") | {TRACE: "of:/all", f"{TRACE}/web": "of:/web", f"{TRACE}/log": "of:/log"}
    own = own_annotations(annotations)
    assert own == {engine[0]: "container", engine[1]: "web", TRACE: "of:/web"}
    assert request_of(own).profile == "/web"
    assert own_annotations(own) == own


@ENGINES
def test_another_container(engine):
    annotations = of(engine, "db") | {f"{TRACE}/web": "of:/web", "io.seclude.counts/web": "true"}
    assert request_of(own_annotations(annotations)) is None
    annotations[TRACE] = "of:/all"
    request = request_of(own_annotations(annotations))
    assert (request.profile, request.counts) == ("/all", False)


@ENGINES
def test_our_switches(engine):
    annotations = of(engine, "web") | {
        "io.seclude.recording/web": "/r",
        "io.seclude.counts/web": "true",
        "io.seclude.stacks": "true",
    }
    request = request_of(own_annotations(annotations))
    assert (request.recording, request.counts, request.stacks) == ("/r", True, True)


@ENGINES
def test_the_pods_own_container_is_asked_nothing(engine):
    annotations = of(engine, "POD", kind="sandbox") | {
        TRACE: "of:/all",
        f"{TRACE}/POD": "of:/pod",
        "other": "x",
    }
    assert is_sandbox(annotations)
    own = own_annotations(annotations)
    assert request_of(own) is None
    assert own["other"] == "x"


@ENGINES
def test_annotations_of_others_stay(engine):
    annotations = of(engine, "web") | {
        "a/web": "1",
        "io.containers.trace-logs/web": "2",
        "io.secluded/web": "3",
    }
    assert own_annotations(annotations) == annotations


@pytest.mark.parametrize("name", ["", "a/b", "we", "eb"])
def test_names_that_are_no_name_of_the_container(name):
    annotations = of(CONTAINERD, "web") | {f"{TRACE}/{name}": "of:/x"}
    assert request_of(own_annotations(annotations)) is None


def test_an_engine_that_does_not_say_the_name():
    annotations = {CONTAINERD[0]: "container", f"{TRACE}/": "of:/x", f"{TRACE}/web": "of:/x"}
    assert request_of(own_annotations(annotations)) is None


def test_outside_of_a_pod_nothing_changes():
    annotations = {TRACE: "of:/x", f"{TRACE}/web": "of:/y", "io.kubernetes.container.name": "web"}
    assert not is_pod(annotations)
    assert own_annotations(annotations) == annotations


class TestWrapper:
    """What the runtime writes into the bundle."""

    def hooks(self, annotations):
        config = {"annotations": annotations, "process": {"env": []}}
        return with_hooks(config, engine="containerd", places={}, state="/s", package="/p")

    def test_the_hook_reads_what_was_asked_of_its_container(self):
        changed = self.hooks(of(CONTAINERD, "web") | {f"{TRACE}/web": "of:/web", f"{TRACE}/log": "of:/log"})
        assert changed["annotations"][TRACE] == "of:/web"
        assert f"{TRACE}/log" not in changed["annotations"]
        assert changed["hooks"]["createRuntime"][0]["args"][-2:] == ["--paths-by", "anyone"]

    def test_a_container_that_is_not_named_is_left_alone(self):
        assert self.hooks(of(CONTAINERD, "db") | {f"{TRACE}/web": "of:/web"}) is None

    def test_the_pods_own_container_is_left_alone(self):
        assert self.hooks(of(CONTAINERD, "", kind="sandbox") | {TRACE: "of:/web"}) is None


@pytest.mark.parametrize("name", [f"{TRACE}/web", "io.seclude.recording/web"])
def test_the_hooks_file_starts_the_hook(name):
    """For engines that match keys themselves, as CRI-O does."""
    assert re.search(ANNOTATIONS, name)
    assert not re.search(ANNOTATIONS, f"{name}/web")
    assert not re.search(ANNOTATIONS, f"x{name}")
