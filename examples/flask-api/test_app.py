"""The application's tests: what seclude records while they run is what the application may do."""

from __future__ import annotations

import pytest
from app import app
from flask.testing import FlaskClient


@pytest.fixture
def client() -> FlaskClient:
    return app.test_client()


def test_the_one_valid_input(client: FlaskClient) -> None:
    answer = client.post("/dummy", json={"input": "valid input :)"})
    assert (answer.status_code, answer.json) == (200, {"success": "nice input"})


def test_any_other_input(client: FlaskClient) -> None:
    answer = client.post("/dummy", json={"input": "no"})
    assert (answer.status_code, answer.json) == (400, {"error": "bad input"})


@pytest.mark.parametrize(("path", "name"), [("/dummy", "input"), ("/command", "command")])
def test_a_missing_parameter_is_named(client: FlaskClient, path: str, name: str) -> None:
    answer = client.post(path, json={})
    assert (answer.status_code, answer.json) == (400, {"error": [name]})
