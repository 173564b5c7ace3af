"""A profile set in Kubernetes objects: comments and layout stay, the schemas of the API accept the result."""

from pathlib import Path

import kubernetes_validate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from seclude.errors import ProfileError
from seclude.formats.kubernetes import default_path, edited, placement

GOLD = Path(__file__).parents[1] / "gold"
PATH = "profiles/app.json"
POD = {"containers": [{"name": "web", "image": "nginx"}, {"name": "side", "image": "x"}]}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": POD}


def load(text):
    return [value for value in YAML(typ="safe", pure=True).load_all(text) if value is not None]


def test_gold():
    text = (GOLD / "export-kubernetes-before.yaml").read_text()
    found, notes = edited(text, "app.yaml", PATH)
    assert found == (GOLD / "export-kubernetes-after.yaml").read_text()
    assert notes == (
        "Deployment web, container side has a seccompProfile of its own, which the pod's does not change",
        "CronJob nightly, container job is privileged: it runs without any seccomp profile",
    )
    # Nothing is taken away, and set again it stays as it is.
    assert set(text.splitlines()) - set(found.splitlines()) == {"          type: RuntimeDefault # for now"}
    assert edited(found, "app.yaml", PATH)[0] == found


def test_schemas_accept_it():
    for value in load((GOLD / "export-kubernetes-after.yaml").read_text()):
        kubernetes_validate.validate(value, "1.30", strict=True)


@pytest.mark.parametrize(
    ("kind", "api", "spec"),
    [
        ("Pod", "v1", POD),
        ("Deployment", "apps/v1", {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}),
        ("DaemonSet", "apps/v1", {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}),
        (
            "StatefulSet",
            "apps/v1",
            {"serviceName": "s", "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE},
        ),
        ("Job", "batch/v1", {"template": {"spec": POD | {"restartPolicy": "Never"}}}),
        (
            "CronJob",
            "batch/v1",
            {
                "schedule": "* * * * *",
                "jobTemplate": {"spec": {"template": {"spec": POD | {"restartPolicy": "Never"}}}},
            },
        ),
    ],
)
@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("container", ["", "web", "side"])
def test_every_kind(kind, api, spec, flow, container, tmp_path):
    yaml = YAML(pure=True)
    yaml.default_flow_style = flow
    file = tmp_path / "object.yaml"
    yaml.dump({"apiVersion": api, "kind": kind, "metadata": {"name": "web"}, "spec": spec}, file)
    found, _ = edited(file.read_text(), "object.yaml", PATH, container=container)
    (value,) = load(found)
    kubernetes_validate.validate(value, "1.30", strict=True)
    profile = {"seccompProfile": {"type": "Localhost", "localhostProfile": PATH}}
    assert str(value).count(str(profile)) == 1
    inside = value["spec"]
    while "containers" not in inside:
        inside = inside.get("template") or inside.get("jobTemplate") or inside["spec"]
    holder = next(each for each in inside["containers"] if each["name"] == container) if container else inside
    assert holder["securityContext"] == profile


@pytest.mark.parametrize(
    "context",
    [
        "",
        "  securityContext:\n",
        "  securityContext: {}\n",
        "  securityContext: null # none\n",
        "  securityContext: {runAsUser: 1}\n",
        "  securityContext:\n    runAsUser: 1\n",
        "  securityContext:\n    seccompProfile:\n",
        "  securityContext:\n    seccompProfile: {type: Unconfined}\n    runAsUser: 1\n",
        "  securityContext:\n    seccompProfile:\n      localhostProfile: x # old\n      type: Localhost\n",
        "  securityContext:\n    seLinuxOptions:\n      level: a\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "# the end", "\n\n# the end\n"])
def test_every_form_of_security_context(context, newline, end):
    text = f"kind: Pod\nspec:\n  # first\n  containers:\n  - name: web\n{context}{end}".replace("\n", newline)
    found, _ = edited(text, "pod.yaml", PATH)
    (value,) = load(found)
    assert value["spec"]["securityContext"]["seccompProfile"] == {
        "type": "Localhost",
        "localhostProfile": PATH,
    }
    assert all(comment in found for comment in ("# first", *(["# the end"] if end else [])))
    assert newline == "\n" or "\n" not in found.replace("\r\n", "")


def test_json_stays_json():
    import json

    text = json.dumps(
        {"kind": "List", "items": [{"kind": "Pod", "spec": POD}, {"kind": "Service"}]}, indent=2
    )
    value = json.loads(edited(text, "list.json", PATH)[0])
    assert value["items"][0]["spec"]["securityContext"]["seccompProfile"]["localhostProfile"] == PATH


def refused(text, path=PATH, **options):
    with pytest.raises(ProfileError) as caught:
        edited(text, "app.yaml", path, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no pod and no object that makes pods"),
        ("kind: Service\nspec: {containers: []}\n", "no pod"),
        ("kind: Pod\nspec: 3\n", "no pod"),
        ("kind: Pod\nspec: {securityContext: [1]}\n", "line 2, column 25: securityContext must be a mapping"),
        ("kind: Pod\nspec: {securityContext: {seccompProfile: x}}\n", "seccompProfile must be a mapping"),
        ("kind: Pod\nspec: {containers: &a []}\nx: *a\n", "line 3, column 4: an alias"),
        ("kind: Pod\nspec: {a: 1, a: 2}\n", "line 2, column 14: 'a' is given twice"),
        ("kind: Pod\nspec: !!python/name:os.system x\n", "the tag"),
        ("kind: Pod\nspec:\n\tcontainers: []\n", "line 3, column 1"),
        ("a: &a [x]\n" + "b: [" + "*a," * 1000 + "]\n", "an alias"),
        ("[" * 100_000, "nested more than 64 deep"),
    ],
)
def test_what_is_refused(text, message):
    assert message in refused(text)


def test_no_such_container():
    message = refused(
        "kind: Pod\nspec: {containers: [{name: web}], initContainers: [{name: one}]}\n", container="db"
    )
    assert "no container 'db'" in message and "it has web, one" in message


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../b", "a\nb"])
def test_paths_that_the_api_server_refuses(path):
    assert "is no path below" in refused("kind: Pod\nspec: {containers: []}\n", path)


def test_paths_are_quoted_where_they_must_be():
    for path in ("a: b #.json", "true", "1.json", "-x"):
        (value,) = load(edited("kind: Pod\nspec:\n  hostname: h\n", "pod.yaml", path)[0])
        assert value["spec"]["securityContext"]["seccompProfile"]["localhostProfile"] == path


def test_placement():
    assert default_path("out/app.json") == PATH
    (note,) = placement(PATH)
    assert "/var/lib/kubelet/seccomp/profiles/app.json" in note


@given(
    st.text("kindPosecut:{}[]-,\n \"'#|&*", max_size=120).map(
        lambda tail: f"kind: Pod\nspec:\n  a: 1\n{tail}"
    )
)
@settings(max_examples=300, deadline=None)
def test_any_text_is_edited_rightly_or_refused(text):
    try:
        found, _ = edited(text, "pod.yaml", PATH)
    except ProfileError:
        return
    assert load(found)[0]["spec"]["securityContext"]["seccompProfile"]["localhostProfile"] == PATH
