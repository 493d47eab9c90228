"""What `make run` needs of Airflow's REST API, with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from qianmian.step import StepError

_TIMEOUT_S = 30
# The API is on the loopback interface: a proxy named in the environment cannot reach it.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class AirflowApi:
    """Airflow's REST API, as one user."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._login = {"username": user, "password": password}
        self._token = ""

    def health(self) -> dict[str, str]:
        """Status of each component, e.g. `{"scheduler": "healthy", ...}`; empty where nobody answers."""
        try:
            with _opener.open(f"{self.url}/api/v2/monitor/health", timeout=_TIMEOUT_S) as reply:
                components = json.load(reply)
        except (OSError, ValueError):
            return {}
        return {name: c["status"] for name, c in components.items() if c and c.get("status")}

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return what Airflow knows about a DAG, None before it was parsed."""
        return self._get(f"/dags/{dag_id}", missing_ok=True)

    def parse_again(self, file_token: str) -> None:
        """Ask for a DAG file to be parsed now."""
        self._request("PUT", f"/parseDagFile/{file_token}")

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that could not be imported: `filename`, `stack_trace`, `timestamp`."""
        return list((self._get("/importErrors") or {}).get("import_errors", []))

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; `conf` are its parameters. Return its run id."""
        body = {"logical_date": None, "conf": conf}
        return str(self._request("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return one run: `state`, `start_date`, `end_date`, ..."""
        return self._get(f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}") or {}

    def active_runs(self, dag_id: str) -> list[str]:
        """Return the ids of the runs that are queued or running."""
        query = "state=queued&state=running"
        found = self._get(f"/dags/{dag_id}/dagRuns?{query}", missing_ok=True) or {}
        return [run["dag_run_id"] for run in found.get("dag_runs", [])]

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed: its running tasks are stopped."""
        self._request("PATCH", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}", {"state": "failed"})

    def runs_due(self, dag_id: str, begin: str, end: str) -> list[dict[str, Any]]:
        """Return the runs due from one moment to another (ISO 8601), earliest first; at most the last 1,000."""
        return self.runs(dag_id, order_by="-logical_date", logical_date_gte=begin, logical_date_lte=end)

    def runs(self, dag_id: str, order_by: str = "-run_after", **where: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG (`state`, `run_type`, ...), latest last; at most the last 1,000."""
        found: list[dict[str, Any]] = []
        query = urllib.parse.urlencode({**where, "order_by": order_by, "limit": 100})
        while len(found) < 1000:
            page = self._get(f"/dags/{dag_id}/dagRuns?{query}&offset={len(found)}")
            runs = (page or {}).get("dag_runs", [])
            found += runs
            if len(runs) < 100:
                break
        return found[::-1]

    def active_backfills(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the backfills of a DAG that have not ended: `id`, `from_date`, `to_date`, ..."""
        found = self._get(f"/backfills?dag_id={dag_id}") or {}
        return [one for one in found["backfills"] if one["completed_at"] is None]

    def backfill_moments(self, asked: dict[str, Any]) -> list[str]:
        """Return the moments that a backfill would run for, without starting it."""
        found = self._request("POST", "/backfills/dry_run", asked)["backfills"]
        return [one["logical_date"] for one in found]

    def create_backfill(self, asked: dict[str, Any]) -> int:
        """Start a backfill (`dag_id`, `from_date`, `to_date`, `dag_run_conf`, ...) and return its id."""
        return int(self._request("POST", "/backfills", asked)["id"])

    def is_backfill_over(self, backfill_id: int) -> bool:
        """Tell whether all runs of a backfill have ended, or it was cancelled."""
        return (self._get(f"/backfills/{backfill_id}") or {})["completed_at"] is not None

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return a run's tasks: `task_id`, `state`, `try_number`, `duration`, `start_date`, ..."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances?limit=100"
        return list((self._get(path) or {})["task_instances"])

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[str]:
        """Return the lines of a task's log."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/logs/{attempt}"
        content = (self._get(f"{path}?full_content=true", missing_ok=True) or {}).get("content", [])
        return [entry["event"] if isinstance(entry, dict) else str(entry) for entry in content]

    def _get(self, path: str, missing_ok: bool = False) -> dict[str, Any] | None:
        try:
            return self._request("GET", path)
        except FileNotFoundError:
            if missing_ok:
                return None
            raise

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request, logging in where there is no token or it has expired.

        Raises:
            FileNotFoundError: there is no such thing (404).
            StepError: Airflow does not answer or refuses the request; the text says why.

        """
        try:
            if self._token:
                try:
                    return self._send(method, f"/api/v2{path}", body)
                except urllib.error.HTTPError as error:
                    if error.code != 401:
                        raise
                    self._token = ""
            self._token = self._send("POST", "/auth/token", self._login)["access_token"]
            return self._send(method, f"/api/v2{path}", body)
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")
            if error.code == 404:
                raise FileNotFoundError(detail) from error
            what = f"Airflow refuses {method} {path}: {_reason(detail)}"
            raise StepError(what, _remedy(error.code)) from None
        except OSError as error:
            raise StepError(
                f"Airflow's API at {self.url} does not answer: {error}",
                "Look at `make status` and `make logs`; `make stop` and a new start mend most things.",
            ) from None

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - http on the loopback interface
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with _opener.open(request, timeout=_TIMEOUT_S) as reply:
            content = reply.read()
        return json.loads(content) if content else None


def _quoted(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")


def _reason(detail: str) -> str:
    try:
        return str(json.loads(detail)["detail"])
    except (ValueError, KeyError, TypeError):
        return detail[:500]


def _remedy(code: int) -> str:
    if code == 400:
        return "Mend the value that the message names: SHOP, AS_OF (a day such as 2011-11-30), DATA."
    return "Look at `make logs`; `make stop` and a new start mend most things."
