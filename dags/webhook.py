"""One message to one webhook: the JSON that its receiver takes, a few tries, and its address in no log.

An address such as https://hooks.slack.com/services/T0/B0/XX is itself the password: it is never logged, nor is
what a library says of it.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger("qianmian.alerts")

TIMEOUT_S = 5.0
PAUSES_S = (0.0, 1.0, 3.0)  # before each try
_FEW_BYTES = 4096

#: How each receiver takes a text. DingTalk's robots ask for a keyword: every message begins with Qianmian.
FORMATS: Mapping[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = {
    "json": lambda text, fields: {"text": text, **fields},
    "slack": lambda text, _: {"text": text},
    "feishu": lambda text, _: {"msg_type": "text", "content": {"text": text}},
    "dingtalk": lambda text, _: {"msgtype": "text", "text": {"content": text}},
    "wecom": lambda text, _: {"msgtype": "text", "text": {"content": text}},
}


def send(address: str, form: str, text: str, fields: Mapping[str, Any]) -> bool:
    """Post a message and tell whether it was taken. Never raises: an alert that fails must not fail the run.

    Args:
        address: the webhook's URL, http or https.
        form: a name in `FORMATS`.
        text: the message in words.
        fields: the message in fields, for `json`.

    """
    if form not in FORMATS:
        log.error("alert not sent: alert_format = %r is none of %s", form, ", ".join(FORMATS))
        return False
    if not address.startswith(("https://", "http://")):
        log.error("alert not sent: QIANMIAN_ALERT_WEBHOOK does not begin with https:// or http://")
        return False
    body = json.dumps(FORMATS[form](text, fields), ensure_ascii=False).encode()
    why = ""
    for pause in PAUSES_S:
        time.sleep(pause)
        why, is_final = _post(address, body)
        if not why:
            log.info("alert sent (%s)", form)
            return True
        if is_final:
            break
    log.error("alert not sent: %s. The run goes on as it would have; see that the webhook works.", why)
    return False


def _post(address: str, body: bytes) -> tuple[str, bool]:
    """Post once; return why it was not taken (empty: it was), and whether trying again is useless."""
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "qianmian"}
    try:
        request = urllib.request.Request(address, body, headers)  # noqa: S310 - http or https, see above
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            said = answer.read(_FEW_BYTES)
    except urllib.error.HTTPError as error:
        return f"the webhook answered {error.code}", error.code < 500 and error.code != 429
    except Exception as error:
        # The text of an error may hold the address: its kind must do.
        return f"the webhook cannot be reached ({_kind(error)})", isinstance(error, ValueError)
    return _refusal(said), True


def _refusal(said: bytes) -> str:
    """Say what a receiver that answers 200 also to what it refuses said; empty where it took the message."""
    try:
        answer = json.loads(said)
    except ValueError:
        return ""
    code = answer.get("errcode", answer.get("code", 0)) if isinstance(answer, dict) else 0
    return f"the webhook refused it: {answer.get('errmsg') or answer.get('msg') or code}" if code else ""


def _kind(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return type(reason).__name__ if isinstance(reason, Exception) else type(error).__name__
