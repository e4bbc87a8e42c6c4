"""The import job: uploaded files become de-identified scans.

Files are decoded by `workbench.imaging.read.read_scans`, folder by folder, in its own processes; a bad file
never holds up good ones. Exact copies are held back. Pixels are written to content-addressed files as they
come; rows, readings and the end of the job in one transaction, so that an import that was killed and done
again has its effect once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from sqlalchemy import select

from workbench.errors import NotFound, ScanRefused
from workbench.imaging.archive import is_clutter, unpacked
from workbench.imaging.digest import copy_digest, pixel_digest
from workbench.imaging.identity import patient_key
from workbench.imaging.input_findings import recipe_findings
from workbench.imaging.modality import same_modality
from workbench.imaging.read import read_scans
from workbench.imaging.scan import Finding, Scan, Severity
from workbench.imaging.sniff import Kind, sniff
from workbench.service import spools
from workbench.service.adding import Made, add_rows
from workbench.service.asking import ask_to_read
from workbench.service.engine import Engine
from workbench.service.hints import Hints
from workbench.service.identifiers import summary
from workbench.service.imports import ImportGiven, ImportOutcome, LeftOut, read_options, region_of
from workbench.service.job_compare import Compared, compared
from workbench.service.job_read import ToRead, read_by, write_readings
from workbench.service.kinds import ShownReading
from workbench.service.overview import active_version
from workbench.service.pictures import preview
from workbench.service.scanfile import scan_bytes
from workbench.service.serial import dumped, loaded
from workbench.service.spools import Kept, Spool, SpooledFile
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import Condition, ScanRow, new_id

_AT_ONCE = 8
"""Scans whose files are written in one transaction."""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What came of all files."""

    made: tuple[Made, ...]
    refused: tuple[ScanRefused, ...]


def run(engine: Engine, store: Store, claim: jobs.Claim) -> None:
    """Do one import.

    Raises:
        NotFound: its files or its condition are gone.
    """
    try:
        spool = Spool(store, claim.id)
        _run(engine, store, claim, spool)
    except jobs.Cancelled:
        spools.remove(store, claim.id)
        raise
    spool.clear()


def _run(engine: Engine, store: Store, claim: jobs.Claim, spool: Spool) -> None:
    given = loaded(ImportGiven, claim.given)
    files = spool.files()
    if not files:
        raise NotFound("The uploaded files are gone. Drop them again.")
    with store.read() as session:
        condition = session.get(Condition, claim.condition_id)
        if condition is None:
            raise NotFound("The condition is gone. Drop the files into another.")
        hints = Hints(tuple(one.name for one in condition.classes) if given.options.hints else ())
        modality = condition.modality
        version = active_version(session, condition.id) if given.role == "case" else None
    claim.report(0, len(files), "Looking at the headers")
    told = summary(files)
    taken = take_files(engine, store, claim, given, files, hints, modality)
    made, refused = list(taken.made), list(taken.refused)
    readings: dict[str, ShownReading] = {}
    if version is not None and made:
        outcome = read_by(engine, store, claim, version, [_to_read(one.row) for one in made])
        readings = outcome.readings
        refused += [_renamed(r, one.name) for one in made if (r := outcome.refused.get(one.row.id))]
        made = [one for one in made if one.row.id not in outcome.refused]
    beside = (
        compared(store, claim.condition_id or "", [o.row for o in made]) if given.role == "support" else {}
    )
    claim.report(len(files), len(files), "Storing")
    _finish(store, claim, given, spool, made, refused, readings, version.id if version else "", beside, told)


def _renamed(refusal: ScanRefused, name: str) -> ScanRefused:
    """The same refusal of what the uploader knows under another name."""
    return ScanRefused(name, refusal.reason, refusal.fix, refusal.about)


def take_files(
    engine: Engine,
    store: Store,
    claim: jobs.Claim,
    given: ImportGiven,
    files: Sequence[SpooledFile],
    hints: Hints,
    modality: str,
) -> Taken:
    """Read files and write what comes of them; rows are made, and not yet added.

    Args:
        engine, store, claim: of the job.
        given: role and options.
        files: uploaded.
        hints: of the condition's classes.
        modality: that the condition is defined for; empty for any.
    """
    options, region = read_options(given.options), region_of(given.options)
    refused: list[ScanRefused] = []
    made: list[Made] = []
    with ExitStack() as held:
        opened = list(_opened(files, held, refused))
        total, done = len(opened), 0
        for folder in spools.folders(opened):
            place = folder[0].folder
            prefix = "" if str(place) == "." else f"{place}/"

            def progress(count: int, _: int, before: int = done) -> None:
                at = min(before + count, total)
                claim.report(at, total, f"Reading file {at} of {total}")

            names = {one.path: PurePosixPath(one.name).name for one in folder}
            result = read_scans([one.path for one in folder], names=names, progress=progress, options=options)
            refused += [_renamed(r, f"{prefix}{r.source}") for r in result.refused]
            waiting: list[tuple[str, Scan]] = []
            for scan in result.scans:
                name = f"{prefix}{scan.provenance.source}"
                try:
                    marked = region.apply(scan) if region is not None else scan
                except ScanRefused as refusal:
                    refused.append(_renamed(refusal, name))
                    continue
                waiting.append((name, _as_defined(marked, modality)))
            for start in range(0, len(waiting), _AT_ONCE):
                some = waiting[start : start + _AT_ONCE]
                made += _written(engine, store, claim, given.role, some, hints, place)
                claim.report(min(done + len(folder), total), total)
            done += len(folder)
    return Taken(tuple(made), tuple(refused))


def _opened(
    files: Sequence[SpooledFile], held: ExitStack, refused: list[ScanRefused]
) -> Iterator[SpooledFile]:
    """The files, with zips replaced by what is in them: their folders may name classes, too."""
    for one in files:
        base = PurePosixPath(one.name).name
        if is_clutter(base):
            continue
        try:
            is_zip = sniff(one.path) is Kind.ZIP
        except OSError:
            is_zip = False
        if not is_zip:
            yield one
            continue
        try:
            inside = held.enter_context(unpacked(one.path, base))
        except ScanRefused as refusal:
            refused.append(_renamed(refusal, one.name))
            continue
        refused += [_renamed(r, f"{one.name}: {r.source}") for r in inside.refused]
        for (path, name), folder in zip(inside.files, inside.folders, strict=True):
            yield SpooledFile(path, "/".join(part for part in (one.name, folder, name) if part))


def _as_defined(scan: Scan, modality: str) -> Scan:
    """The scan, with a finding where the condition was defined for another modality."""
    if not modality or same_modality(modality, scan.modality):
        return scan
    return scan.with_findings(
        Finding(
            "not-as-defined",
            Severity.WARNING,
            f"Its modality is {scan.modality}; the condition is defined for {modality}.",
            "Take it out, or change the condition's modality.",
        )
    )


def _written(
    engine: Engine,
    store: Store,
    claim: jobs.Claim,
    role: str,
    scans: Sequence[tuple[str, Scan]],
    hints: Hints,
    place: PurePosixPath,
) -> list[Made]:
    """Write the files of some scans, in one short transaction."""
    ready = []
    for name, given in scans:
        scan = replace(given, whole=pixel_digest(given))
        ready.append((name, scan, scan_bytes(scan), preview(scan)))
    made = []
    with store.session() as session:
        for name, scan, content, picture in ready:
            # A scan whose file names no patient counts as a patient of its own; copies share it.
            identity = patient_key(f"scan {pixel_digest(scan)}")
            named = hints.patient(place) if role != "case" else ""
            slices, rows, columns, channels = scan.pixels.shape
            row = ScanRow(
                id=new_id(),
                condition_id=claim.condition_id,
                role=role,
                blob=store.blobs.put(content, session),
                preview=store.blobs.put(picture, session),
                bytes=len(content) + len(picture),
                slices=slices,
                rows=rows,
                columns=columns,
                channels=channels,
                modality=scan.modality,
                body_part=scan.body_part,
                units=scan.units.value,
                patient=patient_key(named) if named else scan.patient or identity,
                identity=identity,
                copy=copy_digest(scan),
                findings=dumped(scan.findings + recipe_findings(scan, engine.record.recipe)),
                beside=[],
                hint=hints.label(place),
                batch=claim.id,
                uploader_id=claim.user_id,
            )
            made.append(Made(name, row))
    return made


def _to_read(row: ScanRow) -> ToRead:
    return ToRead(row.id, row.blob, row.patient)


def _finish(
    store: Store,
    claim: jobs.Claim,
    given: ImportGiven,
    spool: Spool,
    made: Sequence[Made],
    refused: Sequence[ScanRefused],
    readings: dict[str, ShownReading],
    version_id: str,
    beside: Compared,
    told: tuple[str, ...],
) -> None:
    """Everything the import changes, at once."""
    condition_id = claim.condition_id or ""
    with store.session() as session:
        stored, copies = add_rows(session, condition_id, given.role, made)
        for row in session.scalars(select(ScanRow).where(ScanRow.id.in_(beside))):
            row.beside = dumped(beside[row.id])
        if version_id:
            write_readings(session, version_id, {k: v for k, v in readings.items() if k in stored})
        version = active_version(session, condition_id) if given.role == "case" else None
        if version is not None:
            ask_to_read(session, claim.user_id, condition_id, version.id)
        outcome = ImportOutcome(
            scans=len(stored),
            refused=tuple(LeftOut(one.reason, one.fix) for one in refused),
            copies=tuple(n for _, n in copies),
            deidentified=told,
        )
        detail = {"scans": len(stored), "refused": len(refused), "copies": len(copies)}
        audit.record(session, claim.user_id, "import.done", "job", claim.id, detail)
        jobs.finish(session, claim, dumped(outcome))
    # The names are a help, not a record: a crash just here loses them, and nothing else.
    spool.keep_names(Kept(tuple(one.source for one in refused), tuple(name for name, _ in copies)))
