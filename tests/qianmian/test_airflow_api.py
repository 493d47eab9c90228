"""The API's client against a small real HTTP server: what it does when Airflow says no."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from qianmian.airflow_api import AirflowApi
from qianmian.ports import LOOPBACK, choose_port
from qianmian.step import StepError


class Server(BaseHTTPRequestHandler):
    """Hands out tokens t1, t2, ... of which only the last is valid; knows one DAG."""

    tokens = 0
    seen: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/auth/token":
            if body["password"] != "right":
                return self.answer(401, {"detail": "Invalid credentials"})
            Server.tokens += 1
            return self.answer(201, {"access_token": f"t{Server.tokens}"})
        return self.answer(400, {"detail": "as_of: 'x' is not a 'date'"})

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Bearer t{Server.tokens}":
            return self.answer(401, {"detail": "expired"})
        if self.path == "/api/v2/dags/known":
            return self.answer(200, {"dag_id": "known"})
        return self.answer(404, {"detail": "not found"})

    def answer(self, status: int, content: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, format: str, *args: object) -> None:
        Server.seen.append(format % args)


@pytest.fixture
def url() -> Iterator[str]:
    Server.tokens = 0
    server = ThreadingHTTPServer((LOOPBACK, 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{LOOPBACK}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_it_logs_in_once_and_again_when_the_token_has_expired(url: str) -> None:
    api = AirflowApi(url, "admin", "right")
    assert api.dag("known") == {"dag_id": "known"}
    assert api.dag("known") == {"dag_id": "known"}
    assert Server.tokens == 1
    Server.tokens += 1  # the server no longer takes t1
    assert api.dag("known") == {"dag_id": "known"}


def test_what_is_not_there_is_none(url: str) -> None:
    assert AirflowApi(url, "admin", "right").dag("unknown") is None


def test_a_refused_value_is_told_in_airflows_words(url: str) -> None:
    with pytest.raises(StepError, match="as_of: 'x' is not a 'date'") as refused:
        AirflowApi(url, "admin", "right").trigger("known", {"as_of": "x"})
    assert "AS_OF" in refused.value.remedy


def test_a_wrong_password_is_told(url: str) -> None:
    with pytest.raises(StepError, match="Invalid credentials"):
        AirflowApi(url, "admin", "wrong").dag("known")


def test_nobody_answering_is_told_and_is_no_health() -> None:
    api = AirflowApi(f"http://{LOOPBACK}:{choose_port()}", "admin", "right")
    assert api.health() == {}
    with pytest.raises(StepError, match="does not answer"):
        api.dag("known")


def test_a_proxy_in_the_environment_is_not_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{LOOPBACK}:{choose_port()}")
    assert AirflowApi(url, "admin", "right").dag("known") == {"dag_id": "known"}
