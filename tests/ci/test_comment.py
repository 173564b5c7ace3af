"""The comment on a pull request: what is posted of an artifact that anybody can have written, and where."""

from __future__ import annotations

import io
import json
import os
import urllib.parse
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from comment_script import comment
from runner import ROOT, Event, Job, Outcome, load, plainly

WORKFLOW = load(ROOT / "examples" / "flask-api" / ".github" / "workflows" / "seccomp-comment.yml")
HEAD = "a" * 40
MARKER = "<!-- seclude -->"
ARCHIVE = "/repos/owner/demo/actions/artifacts/5/zip"


class GitHub:
    """As much of GitHub's interface as is used: one pull request, one artifact, comments."""

    def __init__(self) -> None:
        self.files: dict[str, str | bytes] = {
            "comment.md": f"{MARKER}\nAll is well\n",
            "pull-request.txt": "7\n",
        }
        self.pull: dict[str, Any] = {"state": "open", "head": {"sha": HEAD}}
        self.comments: list[dict[str, Any]] = []
        self.size = 1000
        self.requests: list[str] = []
        self.tokens: list[tuple[str, str | None]] = []
        self.status = 200

    @property
    def archive(self) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
            for name, text in self.files.items():
                file.writestr(name, text)
        return made.getvalue()

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> Any:
        if path == "/repos/owner/demo/actions/runs/3/artifacts":
            assert query["name"] == ["seclude"]
            return {"artifacts": [{"id": 5, "name": "seclude", "size_in_bytes": self.size}]}
        if path == "/repos/owner/demo/pulls/7":
            return self.pull
        if path == "/repos/owner/demo/issues/7/comments" and method == "GET":
            page = int(query["page"][0])
            return self.comments[100 * (page - 1) : 100 * page]
        if path == "/repos/owner/demo/issues/7/comments" and method == "POST":
            self.comments.append({"id": 90, "user": {"type": "Bot"}, **body})
            return {"html_url": "https://example.org/7#90"}
        if path.startswith("/repos/owner/demo/issues/comments/") and method == "PATCH":
            [found] = [each for each in self.comments if str(each["id"]) == path.rpartition("/")[2]]
            found.update(body)
            return {"html_url": f"https://example.org/7#{found['id']}"}
        return None


@pytest.fixture
def github() -> GitHub:
    return GitHub()


@pytest.fixture
def address(github: GitHub) -> Iterator[str]:
    """Serves it; artifacts lie at another place, as they do on GitHub."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            github.requests.append(f"{self.command} {parts.path}")
            github.tokens.append((parts.path, self.headers.get("Authorization")))
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            if parts.path == ARCHIVE:
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
                self.end_headers()
                return
            content = github.archive
            if parts.path != "/elsewhere":
                found = github.answer(self.command, parts.path, urllib.parse.parse_qs(parts.query), body)
                content = json.dumps(found).encode()
                self.send_response(404 if found is None else github.status)
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(address: str, tmp_path: Path) -> Any:
    """Runs the workflow for a finished run; keywords replace what its event says."""

    def one(**told: Any) -> Outcome:
        run = {"id": 3, "event": "pull_request", "head_sha": HEAD} | told
        event = Event("workflow_run", tmp_path, "refs/heads/main", "b" * 40, payload={"workflow_run": run})
        job = Job(
            event,
            tmp_path / f"job-{len(list(tmp_path.iterdir()))}",
            plainly,
            os.environ | {"GITHUB_API_URL": address},
        )
        return job.run(WORKFLOW)

    return one


def test_one_comment_is_made_and_then_updated(github: GitHub, run: Any) -> None:
    others = [{"id": 1000 + n, "user": {"type": "User"}, "body": f"{MARKER}\nnot ours"} for n in range(150)]
    github.comments.extend(others)
    outcome = run()
    assert outcome.succeeded, outcome
    assert "posted https://example.org/7#90" in outcome.log
    github.files["comment.md"] = f"{MARKER}\nOther words\n"
    assert run().succeeded
    assert github.comments[:150] == others
    assert [each["body"] for each in github.comments[150:]] == [f"{MARKER}\nOther words\n"]


def test_the_token_goes_to_the_api_only(github: GitHub, run: Any) -> None:
    assert run().succeeded
    assert {token for path, token in github.tokens if path != "/elsewhere"} == {"Bearer ghs_secret"}
    assert {token for path, token in github.tokens if path == "/elsewhere"} == {None}


def test_a_run_that_was_no_pull_requests(github: GitHub, run: Any) -> None:
    assert run(event="push").succeeded
    assert github.requests == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"files": {"comment.md": "x"}}, "no pull-request.txt"),
        ({"files": {"pull-request.txt": "7"}}, "no comment.md"),
        ({"pull-request.txt": "../7"}, "holds no number"),
        ({"pull-request.txt": "7\n::error::x"}, "more than|holds no number"),
        ({"pull-request.txt": "0x7"}, "holds no number"),
        ({"pull-request.txt": "\u0667"}, "holds no number"),
        ({"pull-request.txt": "7" * 40}, "more than 32 bytes"),
        ({"comment.md": "All is well"}, "does not begin with"),
        ({"comment.md": f"x {MARKER}\n"}, "does not begin with"),
        ({"comment.md": MARKER + "\n" + "x" * 65_536}, "more than 65536 bytes"),
        ({"comment.md": bytes(50_000_000)}, "more than 65536 bytes"),
        ({"comment.md": b"\xff\xfe"}, "no UTF-8"),
        ({"size": 9 << 20}, "are the limit"),
        ({"pull": {"state": "open", "head": {"sha": "c" * 40}}}, "not the head of pull request 7"),
        ({"pull": {"state": "closed", "head": {"sha": HEAD}}}, "is not open"),
        ({"pull": []}, "is not open"),
    ],
)
def test_what_is_not_posted(github: GitHub, run: Any, change: dict[str, Any], reason: str) -> None:
    """None of it is an error of the repository: the job ends well, and says why."""
    for name, value in change.items():
        if "." in name:
            github.files[name] = value
        else:
            setattr(github, name, value)
    outcome = run()
    assert outcome.succeeded, outcome
    assert any(each in outcome.log for each in reason.split("|")), outcome
    assert (github.comments, outcome.annotations, outcome.commands) == ([], [], [])
    assert not [request for request in github.requests if not request.startswith("GET")]


def test_an_artifact_that_is_no_zip_file(github: GitHub, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GitHub, "archive", b"PK\x03\x04 and nothing else")
    outcome = run()
    assert (outcome.succeeded, "no readable zip file" in outcome.log, github.comments) == (True, True, [])


def test_a_token_without_rights(github: GitHub, run: Any) -> None:
    github.status = 403
    outcome = run()
    assert not outcome.succeeded
    assert "status 403" in outcome.log


@pytest.mark.parametrize(
    ("text", "posted"),
    [
        ("| `read` | **low** |", "| `read` | **low** |"),
        ("<details><summary>More</summary>", "<details><summary>More</summary>"),
        ("<script>x</script><img src=x>", "&lt;script>x&lt;/script>&lt;img src=x>"),
        ("<details onclick=x>", "&lt;details onclick=x>"),
        ("<!-- seclude-other -->", "&lt;!-- seclude-other -->"),
        ("a\x00b\x1bc\u202ed\u200be", "abcde"),
        ("a\r\nb\rc", "a\nbc"),
        ("é 漢 🙂", "é 漢 🙂"),
    ],
)
def test_the_text(text: str, posted: str) -> None:
    assert comment.body(f"{MARKER}\n{text}") == f"{MARKER}\n{posted}"


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("@everyone and @a/b", ["@e", "@a"]),
        ("see #1 and a/b#2", ["#1", "#2"]),
        ("[log in](https://evil.example)", ["](", "://"]),
        ("![x](//evil.example/x.png)", ["](", "://", "://"]),
        ("[x][y]\n\n[y]: HTTP://evil.example", ["][", "]:", "://"]),
        ("www.evil.example and WWW.evil.example", ["www.", "WWW."]),
        ("javascript://x", ["://"]),
    ],
)
def test_nobody_is_notified_and_nothing_is_linked(text: str, never: list[str]) -> None:
    posted = comment.body(f"{MARKER}\n{text}")
    assert not [each for each in never if each in posted], posted
    assert posted.replace("\u2060", "") == f"{MARKER}\n{text}"


def test_a_text_that_grows_stays_within_the_limit() -> None:
    posted = comment.body(f"{MARKER}\n" + "@a <b\n" * 9000)
    assert 60_000 < len(posted) <= comment.LARGEST_COMMENT
    assert posted.endswith("&lt;b")


def test_what_seclude_writes_is_posted_as_it_is() -> None:
    """As long as it is readable after all that: tables, folded parts, names of calls and tests."""
    text = f"{MARKER}\n## x\n\n| Call | Why |\n| --- | --- |\n| `getpriority` | `test_a.py::test_b[1-2]` |\n"
    assert comment.body(text) == text
