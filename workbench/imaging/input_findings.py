"""What a recipe does to a scan that a person should know.

Called by `Classifier.predict` and by the web UI, beside the findings that the reader made.
"""

from __future__ import annotations

from workbench.imaging.cube import extent, upright
from workbench.imaging.recipe import Recipe
from workbench.imaging.scan import Finding, Scan, Severity


def recipe_findings(scan: Scan, recipe: Recipe) -> tuple[Finding, ...]:
    """Findings of `Recipe.apply`.

    Reports what is taken of a volume (`middle-slice`, `slices-taken`, `volume-resampled`, and
    `spacing-unknown` where voxels are taken to be cubes), a single slice where the model reads volumes
    (`one-slice`), much padding (`padded`, proportions beyond 2:1) and enlargement (`enlarged`, longest side
    below the recipe's size).
    """
    found: list[Finding] = []
    rows, columns = scan.pixels.shape[1:3]
    if recipe.dims == 3 and not scan.is_volume:
        found.append(
            Finding(
                "one-slice",
                Severity.WARNING,
                "The model reads volumes; this scan has one slice.",
                "Give the whole series, or adapt weights that read single images.",
            )
        )
    elif recipe.volume == "cube":
        return _cube(scan, recipe)
    elif scan.is_volume:
        found.append(_taken(scan, recipe))
    if max(rows, columns) > 2 * min(rows, columns):
        share = round(100 * (1 - min(rows, columns) / max(rows, columns)))
        found.append(
            Finding(
                "padded",
                Severity.WARNING,
                f"The image is {columns} x {rows}; {share} % of what the model sees is black padding.",
                "Crop all scans to the same region with sides of similar length.",
            )
        )
    if max(rows, columns) < recipe.size:
        found.append(
            Finding(
                "enlarged",
                Severity.INFO,
                f"The image is {columns} x {rows} and was enlarged to {recipe.size} pixels; no detail was "
                "gained.",
            )
        )
    return tuple(found)


def _taken(scan: Scan, recipe: Recipe) -> Finding:
    slices = len(scan.pixels)
    if recipe.volume == "middle":
        return Finding(
            "middle-slice",
            Severity.WARNING,
            f"The model sees slice {slices // 2 + 1} of {slices} only, the middle one.",
            "Mark the slices that show the finding where it is not in the middle.",
        )
    at = list(dict.fromkeys(k + 1 for k in recipe.positions(slices)))
    return Finding(
        "slices-taken",
        Severity.INFO,
        f"The model sees {len(at)} of {slices} slices, evenly spaced from {at[0]} to {at[-1]}.",
    )


def _cube(scan: Scan, recipe: Recipe) -> tuple[Finding, ...]:
    pixels, spacing = upright(scan)
    slices, rows, columns = pixels.shape[:3]
    filled = extent((slices, rows, columns), spacing or (1.0, 1.0, 1.0), recipe.size)
    voxel = ""
    if spacing is not None:
        longest = max(n * step for n, step in zip((slices, rows, columns), spacing, strict=True))
        voxel = f", {longest / recipe.size:.2g} mm per voxel"
    found = [
        Finding(
            "volume-resampled",
            Severity.INFO,
            f"The volume of {columns} x {rows} x {slices} voxels was resampled to "
            f"{' x '.join(map(str, filled[::-1]))} in a cube of {recipe.size}{voxel}.",
        )
    ]
    if spacing is None:
        found.append(
            Finding(
                "spacing-unknown",
                Severity.WARNING,
                "The file does not say how far apart voxels are; they were taken to be cubes.",
                "Give scans of the same proportions for support and for prediction.",
            )
        )
    if min(filled) * 2 < recipe.size:
        found.append(
            Finding(
                "padded",
                Severity.WARNING,
                f"The volume fills {' x '.join(map(str, filled[::-1]))} of a cube of {recipe.size}; the rest "
                "of what the model sees is black padding.",
                "Mark a box with sides of similar length.",
            )
        )
    return tuple(found)
