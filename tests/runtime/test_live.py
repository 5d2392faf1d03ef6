"""What keeps a table from being served here: all of it is named, and no secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ccx.routing.compile import compile_spec
from ccx.runtime.live import PrepareError, prepare
from ccx.spec.validate import load
from tests.certificates import issued

SPEC = """
version: ccx/v1
channels: {main: {provider: demo}}
state: {redis: {url: {env: REDIS_URL}, ca: authority.pem}}
"""


def _prepared(folder: Path, **environ: str) -> None:
    (folder / "ccx.yaml").write_text(SPEC)
    spec = load(folder / "ccx.yaml", environ=environ).spec
    assert spec is not None
    compiled = compile_spec(spec)
    prepare(compiled.table, compiled.digest, folder=folder, environ=environ)


def test_who_vouches_for_redis_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(PrepareError) as refused:
        _prepared(tmp_path)
    assert [re.split("[: ]", one)[0] for one in refused.value.problems] == ["state.redis.url", "state.redis.ca"]
    assert "No such file" in refused.value.problems[1]
    (tmp_path / "authority.pem").write_text("no certificate")
    with pytest.raises(PrepareError, match="authority"):
        _prepared(tmp_path, REDIS_URL="rediss://:correct-horse@localhost")
    issued(tmp_path)
    _prepared(tmp_path, REDIS_URL="rediss://:correct-horse@localhost")


def test_who_vouches_for_a_channel_has_to_be_there(tmp_path: Path) -> None:
    text = "version: ccx/v1\nchannels: {a: {protocol: chat, base_url: 'https://h', keys: none, tls: {ca: gone.pem}}}\n"
    (tmp_path / "ccx.yaml").write_text(text)
    spec = load(tmp_path / "ccx.yaml", environ={}).spec
    assert spec is not None
    compiled = compile_spec(spec)
    with pytest.raises(PrepareError, match=r"channels\.a: .*No such file"):
        prepare(compiled.table, compiled.digest, folder=tmp_path, environ={})
