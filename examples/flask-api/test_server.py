"""The application as it is served: in a thread, since serving must not need what starting a process takes."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from app import app
from waitress.server import create_server


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = create_server(app, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    thread.join(60)
    # It makes its last calls after it has been joined, and a recording is to have them.
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        pass


def post(url: str, body: object) -> tuple[int, object]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_what_is_served(address: str) -> None:
    assert post(f"{address}/dummy", {"input": "valid input :)"}) == (200, {"success": "nice input"})
    assert post(f"{address}/dummy", {"input": "no"}) == (400, {"error": "bad input"})
    assert post(f"{address}/command", {}) == (400, {"error": ["command"]})


def test_many_at_once(address: str) -> None:
    found: list[tuple[int, object]] = []
    threads = [
        threading.Thread(target=lambda: found.append(post(f"{address}/dummy", {"input": "no"})))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [(400, {"error": "bad input"})] * 20
