"""The demo upstream on a free loopback port, for clients that need a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from ccx.upstream.demo.app import DemoApp


@pytest.fixture(scope="package")
def demo_url() -> Iterator[str]:
    """The base URL of a running demo upstream."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(DemoApp(), ws="none", log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=5)
    listener.close()
    assert not thread.is_alive()
