"""How `ccx serve` starts, and when it refuses to."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.serving import DEMO, environment, refused, serving, written

pytestmark = pytest.mark.slow

BROKEN = """
version: ccx/v1
channels: {demo: {provider: demo}}
routes:
  - {name: one, to: [dmeo]}
"""


def test_starts_and_serves(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO)) as ccx:
        event = ccx.event("started")
        assert event["level"] == "info"
        assert event["source"] == "file"
        assert (event["routes"], event["channels"], event["clients"]) == (1, 1, 0)
        host, _, port = event["listen"].rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        answer = ccx.ask()
        assert answer.status_code == 200
        assert answer.json()["type"] == "message"
        assert answer.headers["x-ccx-digest"] == event["digest"]
        assert ccx.client.get("/ready").json()["status"] == "ready"
        assert ccx.status()["pid"] == ccx.process.pid
        assert ccx.metric("ccx_config_last_reload_successful") == 1
        ccx.send(signal.SIGTERM)
        assert ccx.wait() == 0
    assert [event["event"] for event in ccx.err.objects()] == ["started", "draining", "stopped"]


def test_the_console_script_and_a_spec_in_the_working_directory(tmp_path: Path) -> None:
    """`ccx serve` as typed: the default file name, found where one stands."""
    script = Path(sys.executable).with_name("ccx")
    if not script.exists():
        pytest.skip("not installed as a command")
    written(tmp_path, DEMO.replace("channels:", "server: {listen: '127.0.0.1:0'}\nchannels:", 1))
    process = subprocess.Popen(
        [str(script), "serve"], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    first = process.stderr.readline().decode()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=15)
    assert '"event":"started"' in first
    assert process.returncode == 0, rest


def test_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(written(tmp_path, DEMO), "--listen", f"127.0.0.1:{port}")
    assert code == 64
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--listen 127.0.0.1:0" in said


@pytest.mark.parametrize(
    "listen", ["nowhere", "127.0.0.1:99999", "127.0.0.1:x", "127.0.0.1:²", "no.such.host.invalid:1"]
)
def test_an_address_that_is_none(tmp_path: Path, listen: str) -> None:
    code, said = refused(written(tmp_path, DEMO), "--listen", listen)
    assert code == 64
    assert listen in said
    assert "try:" in said


def test_other_machines_need_clients(tmp_path: Path) -> None:
    code, said = refused(written(tmp_path, DEMO), "--listen", "0.0.0.0:0")
    assert code == 64
    assert "declares no clients" in said
    assert "ccx keys new" in said
    code, said = refused(written(tmp_path, DEMO.replace("channels:", "server: {listen: '0.0.0.0:0'}\nchannels:", 1)))
    assert code in (1, 64)  # by the linter or by the socket: but it is refused


def test_other_machines_with_clients(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"a-key").hexdigest()
    spec = DEMO + f'clients: {{team: {{key: {{sha256: "{digest}"}}}}}}\n'
    with serving(written(tmp_path, spec), "--listen", "0.0.0.0:0") as ccx:
        ccx.client.base_url = f"http://127.0.0.1:{ccx.address.rpartition(':')[2]}"
        assert ccx.ask().status_code == 401
        assert ccx.ask(authorization="Bearer a-key").status_code == 200


def test_an_unset_secret_is_named(tmp_path: Path) -> None:
    spec = """
    version: ccx/v1
    channels:
      one: {provider: anthropic, keys: [{env: KEY_THAT_IS_SET}, {env: KEY_THAT_IS_NOT}]}
      two: {provider: openai, keys: {file: no-such-file}}
    """
    code, said = refused(written(tmp_path, spec), environ={"KEY_THAT_IS_SET": "sk-very-secret"})
    assert code == 1
    assert "KEY_THAT_IS_NOT" in said
    assert "no-such-file" in said
    assert "channels.one.keys" in said
    assert "sk-very-secret" not in said


def test_an_invalid_spec_is_shown_where_it_is_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, BROKEN)
    code, said = refused(path)
    assert code == 1
    assert f"{path}:5:" in said or "ccx.yaml:5:" in said
    assert "- {name: one, to: [dmeo]}" in said
    assert "^" in said
    assert "demo" in said


def test_no_spec_at_all(tmp_path: Path) -> None:
    code, said = refused(tmp_path / "ccx.yaml")
    assert code == 1
    assert "ccx.yaml" in said


def test_wrong_usage(tmp_path: Path) -> None:
    code, said = refused(written(tmp_path, DEMO), "--workers", "0")
    assert code == 64
    assert "workers" in said
    code, said = refused(written(tmp_path, DEMO), "--no-such-option")
    assert code == 64


def test_a_state_folder_that_cannot_be_written_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    with serving(written(tmp_path, DEMO), "--state-dir", str(blocked)) as ccx:
        assert ccx.ask().status_code == 200
        assert "could not be kept" in ccx.event("warning")["what"]


def test_ctrl_c(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO)) as ccx:
        os.killpg(ccx.process.pid, signal.SIGINT)
        assert ccx.wait() == 0
        assert "Traceback" not in ccx.err.text
