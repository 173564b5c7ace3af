"""Commands that only ask for a container are refused, by every command that would take them for a plain process."""

from __future__ import annotations

import pytest

from seclude.engines import engine_for
from seclude.errors import SecludeError
from seclude.remote_clients import check_here


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("ctr run docker.io/library/nginx:latest web", "--runc-binary"),
        ("/usr/bin/ctr -n k8s.io tasks exec --exec-id a web sh", "--runc-binary"),
        ("nerdctl run --rm nginx", "--runtime LAUNCHER"),
        ("crictl exec abc ls", "handler `seclude`"),
        ("kubectl -n web run web --image nginx", "runtimeClassName: seclude"),
    ],
)
def test_refused(line: str, hint: str) -> None:
    with pytest.raises(SecludeError, match="asks a service for a container") as refused:
        engine_for(line.split())
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    "line", ["", "ctr version", "kubectl get pods", "make run", "podman run image", "run ctr"]
)
def test_not_refused(line: str) -> None:
    check_here(line.split())
