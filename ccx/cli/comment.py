"""`ccx comment`: tell on the pull request what `ccx ci` found.

One comment for each spec, found again by its hidden first line and updated in place. It reads the folder of reports and
runs nothing of the pull request: it is the step that holds the token. Exit 0 also where there is nothing to do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from ccx.cli.pull.bundle import Bundle, BundleError, Told, read
from ccx.cli.pull.event import Event, FinishedRun, event_of, finished_run
from ccx.cli.pull.forge import Forge, forge_of
from ccx.cli.pull.sticky import Create, Leave, Update, decide, of_stranger, stale
from ccx.errors import UsageError
from ccx.plan.render.cells import visible
from ccx.secrets import SecretRef, resolve

app = typer.Typer()

DEFAULT_FOLDER: Final = Path("ccx-report")
_TOKENS: Final = {"github": "GITHUB_TOKEN", "gitlab": "GITLAB_TOKEN"}


@app.command()
def comment(
    folder: Annotated[Path, typer.Argument(help="The reports of ccx ci.")] = DEFAULT_FOLDER,
    from_run: Annotated[
        bool,
        typer.Option(
            "--from-run", help="The reports are of the run that this workflow_run follows, and may be a stranger's."
        ),
    ] = False,
    token_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable with the token. Default: GITHUB_TOKEN, or GITLAB_TOKEN."),
    ] = None,
    author: Annotated[
        str | None, typer.Option(metavar="LOGIN", help="Whose comments are updated. Default: the token's own.")
    ] = None,
) -> None:
    """Tell on the pull request what ccx ci found, in one comment for each spec.

    A run that is no longer the newest leaves the comment alone.
    """
    event = event_of(os.environ)
    if event.forge is None:
        raise UsageError("this is neither GitHub Actions nor GitLab CI", hint="ccx ci --report DIR; then read DIR")
    follows = finished_run(os.environ) if from_run else None
    bundle = read(folder)
    if bundle is None:
        typer.echo("ccx: the run was not about a pull request, so there is nothing to comment on")
        return
    _believed(bundle, event, follows)
    name = token_env or _TOKENS[event.forge]
    forge = forge_of(event.forge, os.environ, token=resolve(SecretRef("env", name), environ=os.environ))
    old = stale(bundle.head, forge.head(bundle.number))
    if old is not None:
        typer.echo(f"ccx: {old.why}; nothing is commented")
        return
    login = author or forge.me()
    for told in bundle.told:
        typer.echo(f"ccx: {visible(told.spec)}: {_posted(told, bundle, forge, author=login, follows=follows)}")


def _believed(bundle: Bundle, event: Event, follows: FinishedRun | None) -> None:
    """That the reports are of the run that they should be of. Raises BundleError."""
    if follows is not None and bundle.head != follows.head:
        raise BundleError(f"the reports are of {bundle.head[:12]}, and the run was of {follows.head[:12]}")
    if follows is None and (bundle.number, bundle.head) != (event.number, event.head):
        raise BundleError("the reports are not of this pull request and commit; for a workflow_run: --from-run")


def _posted(told: Told, bundle: Bundle, forge: Forge, *, author: str, follows: FinishedRun | None) -> str:
    body = told.body if follows is None else of_stranger(told.body, run=follows.page)
    match decide(told, bundle.at, forge.comments(bundle.number), author=author):
        case Create():
            forge.create(bundle.number, body)
            return "commented"
        case Update(id_):
            forge.update(bundle.number, id_, body)
            return "comment updated"
        case Leave(why):
            return f"nothing commented: {why}"
