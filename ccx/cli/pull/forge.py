"""Comments on a pull request by the REST interfaces of GitHub and GitLab.

https://docs.github.com/rest/issues/comments, https://docs.github.com/rest/pulls/pulls,
https://docs.gitlab.com/api/notes/#merge-requests and https://docs.gitlab.com/api/merge_requests/

Law: the token goes into one header of requests to the forge's own address and nowhere else: into no error, and after no
redirect, for none is followed. Reading is tried again where the forge is in trouble; what writes is asked once, since
a comment twice is worse than none. Every answer has a bound.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote, urlsplit

from ccx.cli.pull.sticky import Comment
from ccx.errors import CcxError, UsageError
from ccx.plan.render.cells import visible

TIMEOUT: Final = 20.0
MAX_ANSWER: Final = 16 * 1024 * 1024
PAGE: Final = 100
MAX_PAGES: Final = 50
ACTIONS: Final = "github-actions[bot]"
_TRIES: Final = 3


class ForgeError(CcxError):
    """The forge did not do what was asked. `status` is what it answered, 0 for nothing."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Forge(Protocol):
    """Where pull requests are discussed. Everything raises ForgeError."""

    def me(self) -> str:
        """The login whose token this is."""

    def head(self, number: int) -> str:
        """The last commit of a pull request."""

    def comments(self, number: int) -> Iterator[Comment]:
        """All comments of a pull request, the oldest first."""

    def create(self, number: int, body: str) -> None:
        """Write a comment."""

    def update(self, number: int, comment: int, body: str) -> None:
        """Write over a comment."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Api:
    """A REST interface at an address. Raises UsageError for what is no address of the web."""

    address: str
    headers: Mapping[str, str] = field(repr=False)
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise UsageError(f"{visible(self.address)!r} is not the address of a forge's interface")

    def get(self, path: str) -> Any:
        """Ask, up to three times where the forge is in trouble."""
        for attempt in range(1, _TRIES):
            try:
                return self.ask("GET", path)
            except ForgeError as error:
                if error.status and error.status < 500 and error.status != 429:
                    raise
                self.sleep(2.0**attempt)
        return self.ask("GET", path)

    def pages(self, path: str) -> Iterator[Any]:
        """The items of all pages of a list, up to 5,000."""
        for page in range(1, MAX_PAGES + 1):
            items = self.get(f"{path}{'&' if '?' in path else '?'}per_page={PAGE}&page={page}")
            if not isinstance(items, list):
                raise ForgeError(f"{path} is no list")
            yield from items
            if len(items) < PAGE:
                return

    def ask(self, method: Literal["GET", "POST", "PATCH", "PUT"], path: str, data: object = None) -> Any:
        """One request and its JSON answer. Raises ForgeError."""
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            f"{self.address.rstrip('/')}{path}",
            data=json.dumps(data).encode() if data is not None else None,
            headers={**self.headers, "content-type": "application/json", "user-agent": "ccx"},
            method=method,
        )
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                body = response.read(MAX_ANSWER + 1)
        except urllib.error.HTTPError as error:
            with error:
                said = _message(error.read(64 * 1024))
            raise ForgeError(f"{method} {path}: {error.code} {said}".rstrip(), status=error.code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ForgeError(f"{method} {path}: {visible(str(reason))[:200] or type(error).__name__}") from None
        if len(body) > MAX_ANSWER:
            raise ForgeError(f"{method} {path}: the answer has more than {MAX_ANSWER // 2**20} MiB")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ForgeError(f"{method} {path}: the answer is not JSON") from None


@dataclass(frozen=True, slots=True)
class GitHub:
    """Comments of pull requests are those of issues."""

    api: Api
    repository: str

    def me(self) -> str:
        try:
            return _text(self.api.get("/user"), "login")
        except ForgeError as error:
            # The token of a workflow is an app's, and stands for no user.
            if error.status in (401, 403, 404):
                return ACTIONS
            raise

    def head(self, number: int) -> str:
        return _text(self.api.get(f"/repos/{self.repository}/pulls/{number}"), "head", "sha")

    def comments(self, number: int) -> Iterator[Comment]:
        for one in self.api.pages(f"/repos/{self.repository}/issues/{number}/comments"):
            yield Comment(_id(one), _text(one, "user", "login", default="ghost"), _text(one, "body", default=""))

    def create(self, number: int, body: str) -> None:
        self.api.ask("POST", f"/repos/{self.repository}/issues/{number}/comments", {"body": body})

    def update(self, number: int, comment: int, body: str) -> None:
        self.api.ask("PATCH", f"/repos/{self.repository}/issues/comments/{comment}", {"body": body})


@dataclass(frozen=True, slots=True)
class GitLab:
    """Comments of merge requests are notes."""

    api: Api
    project: str

    def me(self) -> str:
        return _text(self.api.get("/user"), "username")

    def head(self, number: int) -> str:
        return _text(self.api.get(self._path(number)), "sha")

    def comments(self, number: int) -> Iterator[Comment]:
        for one in self.api.pages(f"{self._path(number)}/notes?sort=asc&order_by=created_at"):
            yield Comment(_id(one), _text(one, "author", "username", default="ghost"), _text(one, "body", default=""))

    def create(self, number: int, body: str) -> None:
        self.api.ask("POST", f"{self._path(number)}/notes", {"body": body})

    def update(self, number: int, comment: int, body: str) -> None:
        self.api.ask("PUT", f"{self._path(number)}/notes/{comment}", {"body": body})

    def _path(self, number: int) -> str:
        return f"/projects/{quote(self.project, safe='')}/merge_requests/{number}"


def forge_of(kind: Literal["github", "gitlab"], environ: Mapping[str, str], *, token: str) -> GitHub | GitLab:
    """The forge that runs this pipeline. Raises UsageError where the pipeline does not say which project it is for."""
    names = {"github": ("GITHUB_API_URL", "GITHUB_REPOSITORY"), "gitlab": ("CI_API_V4_URL", "CI_PROJECT_ID")}[kind]
    address, project = (environ.get(name, "") for name in names)
    if not address or not project:
        raise UsageError(f"{' and '.join(names)} are not set, so there is no project to comment in")
    if kind == "github":
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/vnd.github+json",
            "x-github-api-version": "2022-11-28",
        }
        return GitHub(Api(address, headers), quote(project, safe="/"))
    return GitLab(Api(address, {"private-token": token, "accept": "application/json"}), project)


def _message(body: bytes) -> str:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    said = data.get("message") if isinstance(data, dict) else None
    return visible(said)[:200] if isinstance(said, str) else ""


def _id(data: Any) -> int:
    found = data.get("id") if isinstance(data, dict) else None
    if not isinstance(found, int):
        raise ForgeError("a comment without an id")
    return found


def _text(data: Any, *names: str, default: str | None = None) -> str:
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    if isinstance(data, str):
        return data
    if default is None:
        raise ForgeError(f"the answer has no {'.'.join(names)}")
    return default
