"""GitHub's and GitLab's interfaces on this machine, as far as comments go."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token"
BOT = "github-actions[bot]"


@dataclass
class FakeForge:
    """One project with one pull request. `comments` are (author, body); `troubles` are answered in place of the first
    requests; `seen` are all requests as METHOD path, `tokens` what came with them."""

    number: int = 7
    head: str = ""
    kind: str = "github"
    me: str | None = None
    read_only: bool = False
    comments: dict[int, tuple[str, str]] = field(default_factory=dict)
    troubles: list[int] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    url: str = ""

    def add(self, author: str, body: str) -> int:
        """A comment; its id."""
        self.comments[len(self.comments) + 1] = (author, body)
        return len(self.comments)

    @property
    def writes(self) -> list[str]:
        """The requests that were not reading."""
        return [one for one in self.seen if not one.startswith("GET ")]

    def answer(self, method: str, path: str, query: dict[str, list[str]], data: Any) -> tuple[int, Any]:
        """The status and the document for a request."""
        github = self.kind == "github"
        pull = f"/repos/acme/gateway/pulls/{self.number}" if github else f"/projects/42/merge_requests/{self.number}"
        listed = f"/repos/acme/gateway/issues/{self.number}/comments" if github else f"{pull}/notes"
        one = r"/repos/acme/gateway/issues/comments/(\d+)" if github else rf"{listed}/(\d+)"
        if self.troubles:
            return self.troubles.pop(0), {"message": "trouble"}
        if method == "GET" and path == "/user":
            key = "login" if github else "username"
            return (200, {key: self.me}) if self.me is not None else (403, {"message": "not for integrations"})
        if method == "GET" and path == pull:
            return 200, {"head": {"sha": self.head}} if github else {"sha": self.head}
        if method == "GET" and path == listed:
            size, page = int(query["per_page"][0]), int(query["page"][0])
            shown = sorted(self.comments.items())[size * (page - 1) : size * page]
            return 200, [self._shown(id_, *comment) for id_, comment in shown]
        if self.read_only:
            return 403, {"message": "Resource not accessible by integration"}
        if method == "POST" and path == listed:
            id_ = self.add(self.me or BOT, data["body"])
            return 201, {"id": id_}
        found = re.fullmatch(one, path)
        if found and method == ("PATCH" if github else "PUT") and int(found[1]) in self.comments:
            self.comments[int(found[1])] = (self.comments[int(found[1])][0], data["body"])
            return 200, {"id": int(found[1])}
        return 404, {"message": "Not Found"}

    def _shown(self, id_: int, author: str, body: str) -> dict[str, Any]:
        who = {"user": {"login": author}} if self.kind == "github" else {"author": {"username": author}}
        return {"id": id_, "body": body, **who}


@contextmanager
def served(forge: FakeForge) -> Iterator[FakeForge]:
    """The forge on a port of its own, `forge.url`."""

    class Handler(BaseHTTPRequestHandler):
        def _all(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            data = json.loads(self.rfile.read(size)) if size else None
            parts = urlsplit(self.path)
            forge.seen.append(f"{self.command} {parts.path}")
            forge.tokens.add(self.headers.get("authorization") or self.headers.get("private-token"))
            status, document = forge.answer(self.command, parts.path, parse_qs(parts.query), data)
            body = json.dumps(document).encode()
            self.send_response(status)
            if status in (301, 302):
                self.send_header("location", f"{forge.url}/elsewhere")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = _all  # noqa: N815  # the base class looks for these names

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
