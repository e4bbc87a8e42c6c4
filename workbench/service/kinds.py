"""What the service takes and gives: frozen, free of the database, and serialisable by pydantic."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from workbench.imaging.scan import Finding


class Role(StrEnum):
    """What somebody may do on the whole site."""

    READER = "reader"
    """Opens what is shared: looks, labels as a second reader, reads cases."""
    EDITOR = "editor"
    """Makes conditions of their own as well."""
    ADMIN = "admin"
    """An editor who also manages people, quotas, retention and the audit trail; sees no other's scans."""


class Level(StrEnum):
    """What somebody may do with one condition."""

    READ = "read"
    EDIT = "edit"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks.

    Attributes:
        user_id: of the user.
        name: signs in with it.
        role: on the whole site.
        reader: name on labels and opinions.
    """

    user_id: str
    name: str
    role: Role
    reader: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A condition as somebody defines it.

    Attributes:
        title: what it is called.
        classes: two to eight names; the first is the finding looked for.
        modality: DICOM code, or empty for any.
        body_part: or empty.
        population: a note on whose scans these are.
        prevalence: expected share of each class among those to be read, summing to 1, or None.
        miss_cost: how many false alarms one miss of the first class weighs.
        method: of adaptation; empty for the default.
        parent: identifier of the condition it extends, or None.
    """

    title: str
    classes: tuple[str, ...] = ("condition", "no condition")
    modality: str = ""
    body_part: str = ""
    population: str = ""
    prevalence: tuple[float, ...] | None = None
    miss_cost: float = 1.0
    method: str = ""
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """A class with how much of it is labelled (labels that count; a shot is a patient)."""

    id: str
    name: str
    scans: int
    patients: int


@dataclass(frozen=True, slots=True)
class ConditionInfo:
    """A condition as its screens show it.

    Attributes:
        level: what the actor may do.
        owner: display name.
        status: ``define``, ``scans``, ``label``, ``ready`` (can adapt), ``adapted`` or ``stale`` (labels
            changed since), for the worklist.
        said: one line for people that explains the status and what comes next.
        unlabelled, unsure, disputed: support scans by what their labels lack.
        cases: scans to be read; `unread` of them have no reading by the active version.
        version: number of the active version, 0 for none.
        revision: send it back with an edit; see `workbench.errors.StaleEdit`.
        shared: pairs of who (the name they sign in with, or ``everybody``) and level.
        missing: what stands between the labelled scans and adaptation, or empty.
        bytes: stored for it.
    """

    id: str
    draft: Draft
    level: Level
    owner: str
    classes: tuple[ClassInfo, ...]
    status: str
    said: str
    scans: int
    unlabelled: int
    unsure: int
    disputed: int
    cases: int
    unread: int
    version: int
    revision: int
    created: float
    edited: float
    archived: bool
    demo: bool
    shared: tuple[tuple[str, str], ...] = ()
    missing: str = ""
    bytes: int = 0


class Light(StrEnum):
    """Traffic light of a scan or a file."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that could not become a scan.

    Attributes:
        name: the file's name; on the uploader's own screen only, and only while the server runs (file names
            may identify a patient, so they are not stored). ``file N`` afterwards.
    """

    name: str
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class ScanInfo:
    """A stored scan as a tray shows it.

    Attributes:
        number: what it is called: ``scan 7``.
        findings: everything to be said about it: of its file, of its way through the recipe, beside the other
            scans of the condition.
        label: class identifier by the actor's own reader, None for none; `unsure` tells "unsure".
        counts_as: class identifier that adaptation uses (agreed or settled), None for none.
        disputed: whether readers disagree and nobody has settled it.
        readers: how many readers labelled it (never who said what, while the actor has not).
        hint: class name its folder suggests, or empty.
        doubt: why its label is doubtful after adaptation, or empty.
        twin: number of a scan it is an exact copy of, 0 for none.
    """

    id: str
    number: int
    role: str
    light: Light
    findings: tuple[Finding, ...]
    slices: int
    rows: int
    columns: int
    channels: int
    modality: str
    body_part: str
    units: str
    patient: str
    label: str | None = None
    unsure: bool = False
    counts_as: str | None = None
    disputed: bool = False
    readers: int = 0
    hint: str = ""
    doubt: str = ""
    twin: int = 0


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as it stands.

    Attributes:
        state: ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``.
        done, total: progress; total 0 where it is not known yet.
        said: what it is doing, one line.
        error: why it failed, one line for people.
    """

    id: str
    kind: str
    condition_id: str | None
    state: str
    done: int
    total: int
    said: str
    error: str
    created: float
    finished: float | None

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Share95:
    """A share with its exact 95 % interval: `successes` of `n`."""

    successes: int
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Interval95:
    """A figure with its 95 % interval over `n`."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the learning-curve forecast: accuracy with `shots` patients per class, 0 to 1."""

    shots: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled scan as a model read it that had not seen its patient; None where it could not be tried."""

    scan_id: str
    true: str
    read_as: str | None
    probability: float | None


@dataclass(frozen=True, slots=True)
class AdaptResult:
    """Everything the screen says of a version.

    Attributes:
        classes: names, in the model's order.
        shots: patients of each.
        confusion: patients of the row's true class read as the column's, leave-one-patient-out.
        accuracy: None where there are too few to say; then `too_few` says so.
        sensitivities: by class; None where it has too few patients.
        judged: each labelled scan; the confusion matrix's cells open these.
        choice: which method was chosen and why, in words.
        statements: calibration, promise, expected accuracy, similarity to known conditions, forecast.
        curve: learning-curve forecast; empty where there are too few to say.
        suspects: scan identifiers whose label is doubtful, with why.
        shortcuts: findings about shortcuts, copies and acquisition.
        limits: what could not be judged.
        odd: scan identifiers that the encoder finds out of place, with why.
        threshold: probability of the first class from which it is the better call at the stated cost of a
            miss, 0 to 1.
        seconds: processor time it took.
        modality: it was adapted to, ``OT`` where unknown.
        prevalence, miss_cost: stated when it was made.
    """

    method: str
    classes: tuple[str, ...]
    shots: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    accuracy: Share95 | None
    balanced_accuracy: Interval95 | None
    auroc: Interval95 | None
    sensitivities: tuple[Share95 | None, ...]
    judged: tuple[Judged, ...]
    too_few: str
    choice: str
    statements: tuple[str, ...]
    curve: tuple[Point, ...]
    suspects: tuple[tuple[str, str], ...]
    shortcuts: tuple[Finding, ...]
    limits: tuple[str, ...]
    odd: tuple[tuple[str, str], ...]
    threshold: float
    weights: str
    seconds: float
    modality: str = ""
    prevalence: tuple[float, ...] | None = None
    miss_cost: float = 1.0


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """An adapted model of a condition."""

    id: str
    number: int
    method: str
    active: bool
    by: str
    created: float
    result: AdaptResult


@dataclass(frozen=True, slots=True)
class Near:
    """A labelled scan that a case resembles: distance 0 (same) to 2; its label, if the actor may know it."""

    scan_id: str
    number: int
    label: str
    distance: float


@dataclass(frozen=True, slots=True)
class ShownReading:
    """A version's reading of a case, as the screen shows it.

    Attributes:
        label: most probable class.
        probabilities: one for each class, calibrated where `calibrated`.
        set: classes the case may plausibly be of, None where no set was made; `promise` says how often such
            sets hold the truth.
        none_of_these: it reads like no class, or is unlike every labelled scan: the model abstains.
        evidence_n: labelled patients the reading rests on, in words with the interval of left-out accuracy.
        badges: shift and quality warnings in a few words each, worst first.
        near: nearest labelled scans, nearest first.
        caution: why this is no new case, or empty.
    """

    label: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    calibrated: bool
    set: tuple[str, ...] | None
    promise: str
    none_of_these: bool
    evidence_n: str
    badges: tuple[Finding, ...]
    near: tuple[Near, ...]
    caution: str = ""


@dataclass(frozen=True, slots=True)
class CaseInfo:
    """A case of the reading list.

    Attributes:
        reading: by the active version; None while it has not been read, or (with `concealed`) while the
            actor has asked to give an own reading first and has not.
        own: class identifier the actor gave before the reveal, ``unsure``, or None for none.
        verdict: ``agree``, ``disagree``, ``unsure`` or empty, by the actor.
        version: number that read it, 0 for none.
        has_evidence: whether a saliency map has been made.
        refused: why the active version may not read it (another modality), or empty.
    """

    scan: ScanInfo
    reading: ShownReading | None
    version: int
    concealed: bool = False
    own: str | None = None
    verdict: str = ""
    has_evidence: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two or more readers of a condition agree.

    Attributes:
        readers: names; hidden from a reader who has labelled fewer than half of the scans.
        kappa: Cohen's for two readers, Fleiss's for more, with a bootstrap interval over patients; None where
            fewer than two readers share ten scans.
        both: scans labelled by two readers or more.
        disputed: identifiers of scans they disagree about, unsettled.
        said: in words.
    """

    readers: tuple[str, ...]
    kappa: Interval95 | None
    both: int
    disputed: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class ArtefactInfo:
    """A file that can be taken away from ``/files/artefact/{id}``."""

    id: str
    kind: str
    name: str
    media_type: str
    size: int
    created: float


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of one import.

    Attributes:
        job: the import.
        scans: identifiers of the scans that were stored.
        refused: files that were not.
        copies: exact copies left out: each with the number of the scan it copies.
        deidentified: what became of the identifiers, in a few lines, shown before anything is stored beyond
            the import's own spool.
    """

    job: JobInfo
    scans: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    copies: tuple[tuple[str, int], ...] = ()
    deidentified: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Somebody who may sign in, for administration."""

    id: str
    name: str
    display: str
    role: Role
    active: bool
    quota: int | None
    used: int
    created: float
    signed_in: float | None


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How the files of one import are read.

    Attributes:
        slices, box: the part of the scans that matters, as people write it
            (`workbench.imaging.region.parse_region`); empty for the whole.
        remedies: names of `workbench.imaging.options.Remedy`.
        volume: which of several volumes in a file, from 0; None for the first, with a warning.
        no_preamble: read DICOM without its part 10 header.
        hints: whether the name of a file's folder suggests its class.
    """

    slices: str = ""
    box: str = ""
    remedies: tuple[str, ...] = ()
    volume: int | None = None
    no_preamble: bool = False
    hints: bool = True


@dataclass(frozen=True, slots=True)
class SlicePixels:
    """One slice of a scan for the viewer; physical value = stored * slope + intercept.

    Attributes:
        rows, columns, channels: 1 channel is little-endian uint16, 3 are uint8 RGB.
        low, high: physical range of the slice, in `units`.
        window: (centre, width) shown first.
        presets: further windows by name: pairs of name and (centre, width).
        index, slices: which slice, from 0, of how many.
        spacing: millimetres between rows and between columns, or None.
        data: row by row.
    """

    rows: int
    columns: int
    channels: int
    low: float
    high: float
    units: str
    window: tuple[float, float]
    presets: tuple[tuple[str, tuple[float, float]], ...]
    slope: float
    intercept: float
    index: int
    slices: int
    spacing: tuple[float, float] | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of reading a locked cohort.

    Attributes:
        version: number of the version that read it.
        cohort: SHA-256 of the list of scans and their classes, as it was locked before the first reading.
        looked: how often these scans have been evaluated on, this time included; a figure that was chosen
            among several looks is no longer held out, and `said` says so.
        patients, scans, left_out: counted, read, and not read.
        classes: names, in the model's order.
        confusion: patients of the row's true class read as the column's.
        accuracy, sensitivities: None where there are too few patients to say.
        figures: names and values with intervals and n, in words.
        said: what the reader must know before the figures.
        artefacts: the report as page (inline), PDF, CSV and JSON.
    """

    job: JobInfo
    version: int
    cohort: str
    looked: int
    patients: int
    scans: int
    left_out: int
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    accuracy: Share95 | None
    sensitivities: tuple[Share95 | None, ...]
    figures: tuple[tuple[str, str], ...]
    said: str
    artefacts: tuple[ArtefactInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggested:
    """A scan to label next.

    Attributes:
        number: of the scan.
        reason: why, in words.
        label: class the model reads it as now, with `probability`.
    """

    scan_id: str
    number: int
    reason: str
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class SuggestedScans:
    """Scans to label, most wanted first.

    Attributes:
        scans: those still unlabelled.
        outlook: what more labels are likely to bring, in words; empty where nothing was suggested yet.
        strategy: that chose.
    """

    scans: tuple[Suggested, ...] = ()
    outlook: str = ""
    strategy: str = ""
