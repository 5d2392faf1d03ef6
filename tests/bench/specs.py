"""The configurations that the benchmarks serve: ccx specs of several kinds, and what the references need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

CLIENT_KEY = "ccx-bench-client-key-not-a-secret"
LITELLM_KEY = "sk-bench-key-not-a-secret"
UPSTREAM_KEY = "bench-upstream-key-not-a-secret"
KINDS = ("json", "burst", "paced-20", "paced-20-150", "paced-100-30", "wait-20")
Kind = Literal["plain", "full", "tokens", "convert", "cache", "unguarded", "guarded", "limits", "redis"]
GUARDS: Mapping[Kind, str] = {
    "unguarded": "a client key and two channels without breakers",
    "guarded": "with breakers",
    "limits": "with breakers, limits and a budget",
    "redis": "the same in Redis",
}

_CLIENTS = """\
clients:
  bench:
    key: {{sha256: "{digest}"}}
    models: ["claude-*", "gpt-*"]
    tags: {{team: core, tier: gold}}
  interns:
    key: {{sha256: "{other}"}}
    models: ["claude-*"]
    tags: {{team: interns}}
"""

_ROUTES = """\
routes:
  - name: no-images-for-interns
    when: {{client: [interns], protocol: images}}
    deny: {{status: 403, message: "Images are not enabled here."}}
  - name: background
    when: {{model: "claude-*haiku*"}}
    to: [second]
  - name: long-context
    when: {{protocol: messages, model: "claude-*", input_tokens: "> {threshold}"}}
    to: [second, first]
  - name: reasoning
    when: {{thinking: true, any: [{{tag: {{tier: silver}}}}, {{header: {{x-tier: gold}}}}], not: {{stream: false}}}}
    to:
      - {{balance: round_robin, targets: [first, second]}}
  - name: interns
    when: {{tag: {{team: interns}}}}
    to: [second]
  - name: default
    to: [first, second]
"""


def _channel(name: str, upstream: int, *, protocol: str = "messages", suffix: str = "") -> str:
    models = ", ".join(f"claude-bench-{kind}: mock-{kind}{suffix}" for kind in KINDS)
    return (
        f"  {name}:\n    protocol: {protocol}\n    base_url: http://127.0.0.1:{upstream}\n"
        f"    keys: {{env: CCX_BENCH_KEY}}\n    models: {{{models}}}\n"
    )


def ccx(kind: Kind, upstream: int, *, suffix: str = "", threshold: str | None = None, redis: int | None = None) -> str:
    """A spec in front of the upstream's port.

    plain     one channel, nothing else; no log, no metrics
    full      client keys, six routes with conditions of every sort, JSON log to a file, metrics; the token condition
              lies so high that the bytes of a 200 KB body decide it
    tokens    the same with a token condition that 200 KB of text do not decide by their length
    convert   Messages in, Chat out
    cache     the plain one with a route whose answers are kept
    others    see GUARDS: what resilience costs, a piece at a time, with neither log nor metrics; `redis` is a port
    """
    if kind in GUARDS:
        return _guarded(kind, upstream, redis=redis)
    if kind in ("plain", "cache"):
        quiet = "telemetry: {logs: {format: none}, metrics: none}\n"
        kept = "routes: [{name: all, to: [first], cache: {ttl: 1h, when: any}}]\n" if kind == "cache" else ""
        return "version: ccx/v1\nchannels:\n" + _channel("first", upstream, suffix=suffix) + kept + quiet
    threshold = threshold or ("100k" if kind == "tokens" else "2M")
    protocol = "chat" if kind == "convert" else "messages"
    # The digest of another key: never a client of any benchmark.
    digest, other = (hashlib.sha256(key.encode()).hexdigest() for key in (CLIENT_KEY, CLIENT_KEY + "-other"))
    return "".join(
        (
            "version: ccx/v1\n",
            _CLIENTS.format(digest=digest, other=other),
            "channels:\n",
            _channel("first", upstream, protocol=protocol, suffix=suffix),
            _channel("second", upstream, protocol=protocol, suffix=suffix),
            _ROUTES.format(threshold=threshold),
            "telemetry: {logs: {format: json, file: requests.log}, metrics: prometheus}\n",
        )
    )


def _guarded(kind: Kind, upstream: int, *, redis: int | None) -> str:
    limited = kind in ("limits", "redis")
    client = {"key": {"sha256": hashlib.sha256(CLIENT_KEY.encode()).hexdigest()}}
    tokens = {"requests": "9M/min", "input_tokens": "900M/min", "output_tokens": "900M/min", "concurrency": 5000}
    channels = {}
    for name in ("first", "second"):
        channel: dict[str, object] = {
            "protocol": "messages",
            "base_url": f"http://127.0.0.1:{upstream}",
            "keys": [{"env": "CCX_BENCH_KEY", **({"limits": {"requests": "9M/min"}} if limited else {})}],
            "models": {f"claude-bench-{kind}": f"mock-{kind}" for kind in KINDS},
        }
        channels[name] = channel | ({"limits": tokens} if limited else {})
        if kind == "unguarded":
            channels[name]["breaker"] = "off"
    spec: dict[str, object] = {
        "version": "ccx/v1",
        "clients": {"bench": client | ({"limits": tokens, "budget": {"usd": 10**6, "per": "day"}} if limited else {})},
        "channels": channels,
        "telemetry": {"logs": {"format": "none"}, "metrics": "none"},
    }
    if kind == "redis":
        spec["state"] = {"redis": {"url": f"redis://127.0.0.1:{redis}/0"}}
    return json.dumps(spec, indent=1)  # JSON is YAML


def many_routes(count: int, upstream: int, *, mark: str = "a") -> str:
    """A spec of so many routes over ten channels; `mark` changes its meaning, and so its digest."""
    lines = ["version: ccx/v1", "channels:"]
    lines += [_channel(f"channel-{number}", upstream).rstrip() for number in range(10)]
    lines.append("routes:")
    for number in range(count - 1):
        model = f'"claude-bench-{number}-*"'
        # A third by model alone, a third with tokens, a third with headers, tags and negation.
        condition = (
            f"model: {model}",
            f'model: {model}, input_tokens: "> {number % 90 + 10}k"',
            f"model: {model}, header: {{x-tier: tier-{number % 7}}}, not: {{stream: true}}",
        )[number % 3]
        targets = f"[channel-{number % 10}, channel-{(number + 1) % 10}]"
        lines.append(f"  - {{name: route-{number}, when: {{{condition}}}, to: {targets}}}")
    lines.append(f"  - {{name: default-{mark}, to: [channel-0]}}")
    return "\n".join(lines) + "\n"


def nginx(port: int, upstream: int, folder: Path) -> str:
    """A reverse proxy with nothing buffered on the way back and as little else as possible, in a single process."""
    return f"""\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
worker_rlimit_nofile 65536;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_buffer_size 8m;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 100000000;
  tcp_nodelay on;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 2048; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def litellm(upstream: int) -> str:
    """The same models, on the same upstream, for LiteLLM's proxy (JSON is YAML)."""
    models = [
        {
            "model_name": f"claude-bench-{kind}",
            "litellm_params": {
                "model": f"anthropic/mock-{kind}",
                "api_base": f"http://127.0.0.1:{upstream}",
                "api_key": UPSTREAM_KEY,
            },
        }
        for kind in KINDS
    ]
    # Without a key of its own it refuses to start.
    general = {"master_key": LITELLM_KEY}
    return json.dumps({"model_list": models, "litellm_settings": {"telemetry": False}, "general_settings": general})


def headers(portkey_upstream: int | None = None, *, key: str = CLIENT_KEY) -> dict[str, str]:
    """What a client sends; to Portkey also where to go, which is the only way to tell it."""
    found = {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key}
    if portkey_upstream is not None:
        found["x-portkey-provider"] = "anthropic"
        found["x-portkey-custom-host"] = f"http://127.0.0.1:{portkey_upstream}/v1"
    return found
