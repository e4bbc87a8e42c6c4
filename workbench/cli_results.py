"""``workbench results``: readings as DICOM and FHIR reports, for the study they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

NOTHING_READ, NOT_SENT = 1, 3


def results(
    model: Annotated[Path, typer.Argument(help="Adapted model, written by `workbench adapt`.")],
    scans: Annotated[list[Path], typer.Argument(help="DICOM files and folders to read.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results; new or empty, made private (0700).")
    ],
    overlay: Annotated[
        bool,
        typer.Option(
            "--overlay",
            help="Also a secondary capture of each scan with the evidence for the class read, by the model's "
            "own account. It proves nothing, and the picture says so. Takes seconds a scan.",
        ),
    ] = False,
    send: Annotated[
        str | None,
        typer.Option("--send", help="Also store the DICOM results in this archive (see `workbench pacs`)."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            envvar="WORKBENCH_WEIGHTS",
            help="Weights the model was adapted from, unless they are among those shipped.",
        ),
    ] = None,
) -> None:
    """Read DICOM scans and write the results in the form that hospital systems take.

    For each scan a structured report (0001-report.dcm: TID 1500, unverified, in the study of the images) and
    a FHIR DiagnosticReport (0001-report.json); with --overlay also a picture (0001-overlay.dcm: secondary
    capture), of a volume in its middle slice. They carry the patient's identifiers, as the images do: keep
    them as carefully. Nothing is sent without --send, and everything says that it is for research.

    Exit code 1: nothing could be read. 3: the archive did not take everything.

    Examples:

        workbench results my_condition.safetensors study/ --out results/
        workbench results my_condition.safetensors study/ --out results/ --overlay --send main
    """
    from workbench.adaptation.model import load_model
    from workbench.cli_output import bar, listed
    from workbench.learners.files import sha256_of
    from workbench.pacs import open_archive
    from workbench.pacs.inbox import make_private
    from workbench.results import write_results
    from workbench.results.statement import NOTICE

    errors = Console(stderr=True, highlight=False)
    # An archive that is not configured is said before the work is done.
    archive = open_archive(send) if send else None
    adapted = load_model(model, weights)
    maps = None
    if overlay:
        # Imported here: captum takes a while, and not every reading wants it.
        from workbench.results.evidence import evidence_maps

        maps = evidence_maps(adapted.classifier)
    make_private("results", out)
    with bar("Reading scans", errors) as progress:
        found = list(write_results(adapted, sha256_of(model), scans, out, maps, progress))
    listed([one.refusal for one in found if one.refusal], errors)
    made = [one for one in found if one.statement is not None]
    for one in made:
        assert one.statement is not None
        likelihoods = "; ".join(likelihood.words for likelihood in one.statement.likelihoods)
        print(f"{one.name}: {likelihoods} ({', '.join(path.name for path in one.dicom)})")
    if not made:
        errors.print("No scan could be read.", style="red")
        raise typer.Exit(NOTHING_READ)
    print(f"Written: {out}\n{NOTICE}")
    if archive is None:
        return
    files = [path for one in made for path in one.dicom]
    with bar("Sending", errors) as progress:
        stored = archive.store(files, progress)
    print(f"{stored.count} of {len(files)} objects stored in {archive.name}.")
    for failure in stored.failed:
        errors.print(f"Not stored: {failure.what}: {failure.reason}", style="yellow", markup=False)
    if stored.failed:
        raise typer.Exit(NOT_SENT)
