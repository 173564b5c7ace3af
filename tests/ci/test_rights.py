"""Who may do what: the token, root, and what the action installs."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from action_runs import Action, said, workflow
from origin import Origin
from runner import ROOT, path_with, plainly


class _Server(BaseHTTPRequestHandler):
    """Serves a repository through git's own CGI program to whoever has the token; keeps what it was sent."""

    authorizations: ClassVar[list[list[str]]] = []
    root: ClassVar[Path]

    def do_GET(self) -> None:
        sent = self.headers.get_all("Authorization", [])
        self.authorizations.append(sent)
        if sent != ["Basic " + base64.b64encode(b"x-access-token:ghs_secret").decode()]:
            self.send_error(401 if not sent else 400)
            return
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length", "")
        told = {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": length,
            "REMOTE_USER": "bot",  # without whom it takes no push
        }
        body = self.rfile.read(int(length or 0))
        done = subprocess.run(["git", "http-backend"], input=body, env=os.environ | told, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, origin: Origin) -> Iterator[str]:
    """The address of a server with the origin at /owner/demo."""
    _Server.root = tmp_path / "http"
    (_Server.root / "owner").mkdir(parents=True)
    (_Server.root / "owner" / "demo").symlink_to(origin.path)
    _Server.authorizations.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_token_is_sent_and_stays_nowhere(origin: Origin, action: Action, served: str) -> None:
    event = origin.push({"app.py": "1"})
    told = workflow(mode="commit")
    # As checkout leaves it where its credentials persist: two headers would be refused.
    script = (
        f"git remote set-url origin {served}/owner/demo; "
        f"git config http.{served}/.extraheader 'Authorization: Basic eA=='; "
        f"echo GITHUB_SERVER_URL={served} >>$GITHUB_ENV"
    )
    told["jobs"]["one"]["steps"].insert(1, {"run": script})
    outcome = action.run(event, told)
    assert outcome.succeeded, outcome
    assert origin.log()[0] == "Update seccomp.json [seclude]"
    assert len(_Server.authorizations) >= 2
    secrets = ("ghs_secret", base64.b64encode(b"x-access-token:ghs_secret").decode())
    left = [path for path in action.job.workspace.parent.rglob("*") if path.is_file()]
    for secret in secrets:
        assert not [path for path in left if secret.encode() in path.read_bytes()]
        assert secret not in outcome.log
        assert secret not in Path(f"{action.arguments_file}.env").read_text()  # nor did the tests have it


class TestUser:
    """A runner that is not root, as GitHub's are, with a sudo that tells what it was asked."""

    SUDO = '#!/bin/bash\nprintf "%s\\n" "$*" >>"$ASKED"\nwhile [[ $1 == -* ]]; do shift; done\nexec "$@"\n'

    @pytest.fixture
    def asked(self, tmp_path: Path) -> Path:
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "sudo").write_text(self.SUDO)
        (programs / "sudo").chmod(0o755)
        (tmp_path / "asked").touch()
        (tmp_path / "asked").chmod(0o666)
        return tmp_path / "asked"

    def launch(self, command: Any, directory: Path, environment: Mapping[str, str]) -> Any:
        directory.mkdir(exist_ok=True)
        for path in (directory.parent, *directory.parent.rglob("*")):
            shutil.chown(path, 65534)
        given = ("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", *map(str, command))
        return plainly(given, directory, environment)

    @pytest.fixture(autouse=True)
    def reachable(self, tmp_path: Path) -> None:
        """Lets anybody into the test's directory."""
        if os.geteuid() != 0:
            pytest.skip("needs root, to become somebody else")
        for path in (tmp_path, *tmp_path.parents):
            if path.is_relative_to("/tmp") and path != Path("/tmp"):
                path.chmod(path.stat().st_mode | 0o055)

    def test_root_runs_seclude_and_chown_alone(
        self, origin: Origin, action: Action, asked: Path, tmp_path: Path
    ) -> None:
        event = origin.push({"app.py": "1"})
        (tmp_path / "jobs").chmod(0o777)
        outcome = action.run(
            event,
            workflow(mode="check"),
            launch=self.launch,
            PATH=path_with(tmp_path / "programs"),
            ASKED=str(asked),
            HOME="/nonexistent",
        )
        assert outcome.succeeded, outcome
        lines = asked.read_text().splitlines()
        assert lines[0].startswith(f"-n {tmp_path}/jobs/seclude ci --github --report-dir ")
        assert lines[1:] == [f"-n chown -R -P -h --from=0:0 65534:0 -- {action.job.workspace}"]

    def test_variables_that_root_gets(self, action: Action, asked: Path, tmp_path: Path) -> None:
        """A seclude that this job installed gets what it reads, and no token."""
        (tmp_path / "jobs" / "output").touch()
        told = {
            "PATH": path_with(tmp_path / "programs"),
            "ASKED": str(asked),
            "ARGUMENTS": str(tmp_path / "jobs" / "arguments"),
            "SECLUDE": str(tmp_path / "jobs" / "seclude"),
            "INSTALLED": "true",
            "GITHUB_OUTPUT": str(tmp_path / "jobs" / "output"),
            "GITHUB_TOKEN": "ghs_secret",
            "SECLUDE_COMMAND": "x",
            "SECLUDE_ERRNO": "ENOSYS",
            "DOCKER_PASSWORD": "x",
            "LD_PRELOAD_OF_MINE": "x",
        }
        done = self.launch([ROOT / "action" / "run.sh"], tmp_path / "jobs" / "here", told)
        assert done.returncode == 0, done.stdout.decode()
        [preserved] = [word for word in asked.read_text().split() if word.startswith("--preserve-env=")]
        assert preserved.removeprefix("--preserve-env=").split(",") == ["GITHUB_OUTPUT", "SECLUDE_ERRNO"]


def test_an_executable_that_is_not_there(origin: Origin, action: Action) -> None:
    outcome = action.run(origin.push({"app.py": "1"}), SECLUDE_COMMAND="/nonexistent/seclude")
    assert not outcome.succeeded
    assert "there is no executable /nonexistent/seclude" in said(outcome)


@pytest.mark.slow
def test_seclude_is_installed(tmp_path: Path) -> None:
    """The step that installs, up to the distribution's packages, which are there."""
    if not shutil.which("dpkg-query"):
        pytest.skip("needs Debian or Ubuntu: packages would be installed")
    output = tmp_path / "output"
    environment = os.environ | {
        "GITHUB_OUTPUT": str(output),
        "RUNNER_TEMP": str(tmp_path),
        "INPUT_PYTHON": sys.executable,
    }
    environment.pop("SECLUDE_COMMAND", None)
    done = plainly([ROOT / "action" / "install.sh"], tmp_path, environment)
    assert done.returncode == 0, done.stdout.decode()
    values = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert (values["installed"], values["engine"]) == ("true", "podman")
    shown = subprocess.run([values["command"], "ci", "--help"], capture_output=True, text=True)
    assert "--report-dir" in shown.stdout
    assert Path(values["command"]).is_relative_to(tmp_path)
