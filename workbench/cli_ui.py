"""`workbench ui`: serves the web interface, with the workers that do its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="WORKBENCH_HOME",
        help="Folder that everything is kept in; your user data folder by default.",
        show_default=False,
    ),
]
DatabaseOption = Annotated[
    str,
    typer.Option(
        envvar="WORKBENCH_DATABASE",
        help="PostgreSQL address (postgresql://user:password@host/name); SQLite in the data folder by "
        "default. The environment variable keeps the password out of the list of processes.",
        show_default=False,
    ),
]


def ui(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine's own need --login.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; on this machine the next free one if it is taken.")] = 7860,
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
    login: Annotated[
        bool, typer.Option("--login/--no-login", help="People sign in; `workbench users add` makes them.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", help="Name that browsers reach it by (workbench.example.org); may be repeated."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="Certificate with its chain (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its key (PEM).")] = None,
    proxy: Annotated[
        str,
        typer.Option(help="Address of a reverse proxy that ends TLS; its X-Forwarded-For is believed."),
    ] = "",
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that read, adapt and export; 0 where they run elsewhere."),
    ] = None,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="Weights: a name of `workbench weights`, or a file.")
    ] = "general",
    pool_slices: Annotated[
        int, typer.Option(min=0, help="Slices of a volume that a 2-D encoder reads; 0 for its own choice.")
    ] = 0,
    idle_minutes: Annotated[
        float, typer.Option(min=1, help="With --login: minutes without use after which a sign-in ends.")
    ] = 30,
    oidc_issuer: Annotated[
        str,
        typer.Option(
            envvar="WORKBENCH_OIDC_ISSUER",
            help="With --login: OpenID Connect provider. Its client secret is read from "
            "WORKBENCH_OIDC_CLIENT_SECRET.",
        ),
    ] = "",
    oidc_client: Annotated[
        str, typer.Option(envvar="WORKBENCH_OIDC_CLIENT_ID", help="Client identifier registered there.")
    ] = "",
    oidc_known_only: Annotated[
        bool,
        typer.Option("--oidc-known-only", help="Refuse people who were not added; else they become readers."),
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in this machine's browser.")
    ] = False,
) -> None:
    """Start the web interface.

    Scans, labels, models and jobs are kept in the data folder and are there again at the next start. Without
    --login the page is for this machine only. With it, other machines reach it by TLS: with a certificate
    here, or behind a reverse proxy. docs/web.md tells how to set it up for a department.

    Examples:

        workbench ui
        workbench users add jane --role admin
        workbench ui --login --host 0.0.0.0 --allow-host wb.example.org --tls-cert c.pem --tls-key k.pem
        workbench ui --login --host 0.0.0.0 --allow-host wb.example.org --proxy 10.0.0.2
    """
    import os

    from ui.app import launch
    from ui.serving import Provider, Serving
    from workbench.service.accounts import Timeouts
    from workbench.store.database import default_data_dir

    provider = None
    if oidc_issuer:
        if not oidc_client:
            raise typer.BadParameter("needs --oidc-client", param_hint="--oidc-issuer")
        secret = os.environ.get("WORKBENCH_OIDC_CLIENT_SECRET", "")
        provider = Provider(oidc_issuer, oidc_client, secret, welcome=not oidc_known_only)
    serving = Serving(
        host=host,
        port=port,
        login=login,
        allow_hosts=tuple(allow_host or ()),
        tls_cert=tls_cert,
        tls_key=tls_key,
        proxy=proxy,
        weights=weights,
        pool_slices=pool_slices,
        workers=min(2, os.cpu_count() or 1) if workers is None else workers,
        timeouts=Timeouts(idle=idle_minutes * 60),
        provider=provider,
    )
    launch(serving, data_dir or default_data_dir(), database, open_browser)
