"""``workbench replay``: a case bundle done again and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

DIFFERS = 1


def replay(
    bundle: Annotated[Path, typer.Argument(help="Case bundle (zip), made on the Evaluate screen.")],
    key: Annotated[
        str,
        typer.Option(
            help="Fingerprint of the key that must have signed it (its first 16 digits will do), as the site "
            "that made it told you."
        ),
    ] = "",
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Largest difference of a probability that counts as the same; 0 asks for every bit. By "
            "default 0.0001, for processors that sum in another order.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            envvar="WORKBENCH_WEIGHTS",
            help="Weights that the bundle names by SHA-256, unless they are among those shipped.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads of arithmetic; 0 for as the bundle says.")] = 0,
) -> None:
    """Check a case bundle, adapt again from its labelled scans, read its cases again, and compare.

    Signature and SHA-256 of every member are checked first; a bundle that was changed is refused (exit code
    2). Nothing in a bundle is run. On the machine that made it, with as many threads, readings are the same
    bit by bit.

    Exit code 0: the readings are as recorded. 1: they are not.

    Examples:

        workbench replay bundle-version-3.zip
        workbench replay bundle-version-3.zip --key 4f1c09d2a6b7e833 --tolerance 0
    """
    from workbench.cli_output import bar, counted
    from workbench.evaluation.plaintext import NOTICE
    from workbench.service.bundle import TOLERANCE
    from workbench.service.replay import replay as again

    errors = Console(stderr=True, highlight=False)
    with bar("Adapting and reading again", errors) as progress:
        found = again(bundle, weights, TOLERANCE if tolerance is None else tolerance, key, threads, progress)
    plan = found.plan
    print(f"Signed by {found.fingerprint}" + ("" if key else " (not compared: no --key)"))
    print(f"{plan.title}, version {plan.version}: {plan.method} on {plan.weights or 'untitled'} weights")
    made_by = ", ".join(f"{name} {version}" for name, version in found.other_packages)
    if made_by:
        print(f"Made with other versions than these: {made_by}")
    same = "the same, bit by bit" if found.same_input else "DIFFERENT"
    print(f"{counted(len(plan.support), 'labelled scan')} adapted to again; their images are {same}.")
    print(
        f"{counted(found.cases, 'case')} read again: largest difference of a probability "
        f"{found.largest:.3g} (tolerance {found.tolerance:.3g})."
    )
    if found.other:
        numbers = ", ".join(map(str, found.other))
        print(f"Class, set or abstention differ in {counted(len(found.other), 'case')}: scan {numbers}.")
    print(f"{'Agrees.' if found.agrees else 'DOES NOT AGREE with what was recorded.'} {NOTICE}")
    if not found.agrees:
        raise typer.Exit(DIFFERS)
