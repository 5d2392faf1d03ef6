"""What a running gateway writes down, and what it never does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccx.telemetry.lines import AttemptLine, BytesLine, ExchangeLine, LatencyLine, TokensLine
from tests.process.serving import ASK, DEMO, Serving, serving, until, written

pytestmark = pytest.mark.slow

CLIENT_KEY = "ccx-client-key-1234567890"
ADMIN_KEY = "admin-key-1234567890"
UPSTREAM_KEY = "sk-upstream-key-1234567890"
PROMPT = "a prompt that nobody else may read"
SPEC = f"""
version: ccx/v1
clients:
  team: {{key: {{sha256: "{hashlib.sha256(CLIENT_KEY.encode()).hexdigest()}"}}, tags: {{cost: core}}}}
admin: {{key: {{env: ADMIN_KEY}}}}
channels:
  up: {{protocol: messages, base_url: "UPSTREAM", keys: {{env: UPSTREAM_KEY}}}}
routes:
  - {{name: all, to: [up]}}
"""
SECRETS = {"ADMIN_KEY": ADMIN_KEY, "UPSTREAM_KEY": UPSTREAM_KEY}


def names(of: type[Any]) -> set[str]:
    return set(of.__struct_encode_fields__)


def asked(ccx: Serving, path: str, **more: Any) -> int:
    body = {**ASK, "messages": [{"role": "user", "content": PROMPT}], **more.pop("change", {})}
    return ccx.client.post(path, content=json.dumps(body), **more).status_code


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """The URL of another gateway, which serves the demo."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    with serving(written(folder, DEMO)) as ccx:
        yield f"http://{ccx.address}"


def test_one_line_for_each_request(tmp_path: Path, upstream: str) -> None:
    key = {"x-api-key": CLIENT_KEY}
    with serving(written(tmp_path, SPEC.replace('UPSTREAM"', upstream + '"')), environ=SECRETS) as ccx:
        statuses = [
            asked(ccx, "/v1/messages", headers=key),
            asked(ccx, "/v1/messages", headers=key, change={"stream": True}),
            asked(ccx, f"/v1/messages?key={CLIENT_KEY}"),
            asked(ccx, "/v1/messages", headers={"authorization": f"Bearer {CLIENT_KEY}-wrong"}),
            asked(ccx, "/v1/messages", headers=key, change={"model": "demo-fail-401"}),
            asked(ccx, "/v1/messages", headers={**key, "cookie": PROMPT}, change={"model": "bad\nmodel\ud800"}),
        ]
        assert ccx.client.get("/status", headers={"authorization": f"Bearer {ADMIN_KEY}"}).status_code == 200
        until(lambda: len(ccx.out.all) >= len(statuses), "every request has its line")
    lines = [json.loads(line) for line in ccx.out.all]
    assert [line["status"] for line in lines] == statuses
    assert statuses[:5] == [200, 200, 200, 401, 401]
    for line in lines:
        assert set(line) == names(ExchangeLine)
        assert set(line["tokens"]) == names(TokensLine)
        assert set(line["latency"]) == names(LatencyLine)
        assert set(line["bytes"]) == names(BytesLine)
        for attempt in line["attempts"]:
            assert set(attempt) == names(AttemptLine)
    first, streamed, by_query, refused, failed, _ = lines
    assert (first["client"], first["tags"], first["route"], first["channel"]) == ("team", {"cost": "core"}, "all", "up")
    assert (first["protocol"], first["operation"], first["stream"]) == ("messages", "generate", False)
    assert first["tokens"]["in"] > 0
    assert first["latency"]["total_ms"] >= first["latency"]["first_byte_ms"] > 0
    assert first["request_id"].startswith("req_")
    assert len(first["key"]) == 8
    assert streamed["stream"]
    assert by_query["client"] == "team"
    assert (refused["client"], refused["error"], refused["attempts"]) == (None, "authentication", [])
    assert (failed["error"], failed["attempts"][0]["outcome"]) == ("auth", "auth")
    written_down = ccx.out.text + ccx.err.text
    for secret in (CLIENT_KEY, ADMIN_KEY, UPSTREAM_KEY, PROMPT):
        assert secret not in written_down


def test_secrets_are_in_no_answer(tmp_path: Path) -> None:
    with serving(written(tmp_path, SPEC.replace('UPSTREAM"', 'http://127.0.0.1:9"')), environ=SECRETS) as ccx:
        admin = {"authorization": f"Bearer {ADMIN_KEY}"}
        said = "".join(
            ccx.client.get(path, headers=headers).text
            for path in ("/", "/health", "/ready", "/status", "/metrics", "/v1/models")
            for headers in (admin, {"x-api-key": CLIENT_KEY})
        )
        assert '"generation":1' in said
        for secret in (CLIENT_KEY, ADMIN_KEY, UPSTREAM_KEY):
            assert secret not in said


def test_the_log_file_is_opened_anew_after_a_rename(tmp_path: Path, upstream: str) -> None:
    spec = SPEC.replace('UPSTREAM"', upstream + '"') + "telemetry: {logs: {file: requests.log}}\n"
    log = tmp_path / "requests.log"
    with serving(written(tmp_path, spec), environ=SECRETS) as ccx:
        asked(ccx, "/v1/messages", headers={"x-api-key": CLIENT_KEY})
        until(lambda: log.exists() and log.read_text().count("\n") == 1, "the first line")
        rotated = log.rename(tmp_path / "requests.log.1")
        asked(ccx, "/v1/messages")
        until(lambda: log.exists() and log.read_text().count("\n") == 1, "the second line, in the new file")
        assert json.loads(rotated.read_text())["status"] == 200
        assert json.loads(log.read_text())["status"] == 401
    assert ccx.out.text == ""


@pytest.mark.parametrize(("form", "shows"), [("text", True), ("none", False)])
def test_other_forms_of_the_log(tmp_path: Path, form: str, shows: bool) -> None:
    with serving(written(tmp_path, DEMO), "--log", form, environ=SECRETS, ready=False) as ccx:
        until(lambda: " started " in ccx.err.text, "it says for a person that it started")
        ccx.address = ccx.err.text.partition("listen=")[2].split()[0]
        ccx.client.base_url = f"http://{ccx.address}"
        asked(ccx, "/v1/messages", headers={"x-api-key": CLIENT_KEY})
        if shows:
            until(lambda: "200 messages" in ccx.out.text, "the line of the request")
    assert bool(ccx.out.text) is shows
