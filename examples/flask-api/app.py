"""A small API with one endpoint that must never be deployed: /command runs whatever it is sent, in a shell.

It stands for the vulnerability that an attacker finds in a real application; seclude's profile is what stops it.
"""

from __future__ import annotations

import subprocess
from typing import Any

from flask import Flask, request

app = Flask(__name__)

Answer = tuple[dict[str, Any], int]


def missing(*names: str) -> list[str]:
    """The parameters that the request's JSON lacks."""
    sent = request.get_json(silent=True)
    return [name for name in names if not isinstance(sent, dict) or name not in sent]


@app.post("/dummy")
def dummy() -> Answer:
    """Answer to one input only."""
    if lacking := missing("input"):
        return {"error": lacking}, 400
    if request.json["input"] == "valid input :)":
        return {"success": "nice input"}, 200
    return {"error": "bad input"}, 400


@app.post("/command")
def command() -> Answer:
    """DELIBERATELY VULNERABLE: run a shell command for whoever asks."""
    if lacking := missing("command"):
        return {"error": lacking}, 400
    process = subprocess.Popen(
        request.json["command"], shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdout, stderr = process.communicate()
    return {"stdout": stdout.decode("utf-8", "replace"), "stderr": stderr.decode("utf-8", "replace")}, 200
