"""``workbench benchmark``: whole tables from one plan each, resumable, one command."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Run a benchmark from its plan, or render what has been measured so far.", no_args_is_help=True
)


@app.callback()
def _main() -> None:
    pass
