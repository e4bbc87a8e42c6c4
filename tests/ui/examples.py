"""Made-up answers of the service, for tests of what the screens make of them."""

from __future__ import annotations

from dataclasses import replace

from workbench.evaluation.statistics import proportion
from workbench.imaging.scan import Finding, Severity
from workbench.service.kinds import (
    AdaptResult,
    CaseInfo,
    ClassInfo,
    ConditionInfo,
    Draft,
    Interval95,
    JobInfo,
    Judged,
    Level,
    Light,
    Near,
    Point,
    ScanInfo,
    Share95,
    ShownReading,
    VersionInfo,
)

NAMES = ("osteoporosis", "normal")
CLASS_IDS = ("c0", "c1")
NOW = 1_800_000_000.0


def share(successes: int, n: int) -> Share95:
    """With its exact interval."""
    exact = proportion(successes, n)
    return Share95(successes, n, exact.low, exact.high)


def scan(
    number: int, role: str = "support", label: int | None = None, findings: tuple[Finding, ...] = ()
) -> ScanInfo:
    """A knee radiograph."""
    held = None if label is None else CLASS_IDS[label]
    light = Light.WARNING if findings else Light.OK
    return ScanInfo(
        f"{role}{number}", number, role, light, findings, 1, 2048, 1760, 1, "DX", "KNEE", "modality",
        f"patient{number}", label=held, counts_as=held, readers=1,
    )  # fmt: skip


def support(n: int = 20) -> tuple[ScanInfo, ...]:
    """Half of each class."""
    return tuple(scan(k + 1, label=0 if k < n // 2 else 1) for k in range(n))


def condition(
    names: tuple[str, ...] = NAMES, title: str = "Osteoporosis on knee radiographs"
) -> ConditionInfo:
    """Adapted, with cases."""
    classes = tuple(
        ClassInfo(CLASS_IDS[i] if i < 2 else f"c{i}", name, 10, 10) for i, name in enumerate(names)
    )
    return ConditionInfo(
        "cond", Draft(title, names, "DX", "KNEE", miss_cost=4.0), Level.OWN, "Dr Maja Lind", classes,
        "adapted", "Adapted. Drop new cases to read them.",
        20, 0, 0, 0, 5, 2, 2, 3, NOW - 9e5, NOW - 60, False, False,
    )  # fmt: skip


def judged(
    right: tuple[int, int] = (9, 8), n: int = 20, names: tuple[str, ...] = NAMES
) -> tuple[Judged, ...]:
    """The last ones of each class are read wrong."""
    made = []
    for k, one in enumerate(support(n)):
        true = 0 if k < n // 2 else 1
        correct = k % (n // 2) < right[true]
        made.append(Judged(one.id, names[true], names[true if correct else 1 - true], 0.71 + 0.01 * (k % 20)))
    return tuple(made)


def result(names: tuple[str, ...] = NAMES) -> AdaptResult:
    """Seventeen of twenty."""
    return AdaptResult(
        method="auto",
        classes=names,
        shots=(10, 10),
        confusion=((9, 1), (2, 8)),
        accuracy=share(17, 20),
        balanced_accuracy=Interval95(0.85, 0.66, 0.96, 20),
        auroc=Interval95(0.91, 0.74, 0.98, 20),
        sensitivities=(share(9, 10), share(8, 10)),
        judged=judged(names=names),
        too_few="",
        choice="Chosen on your own patients: a prototypical head read 17 of 20 left-out patients right, "
        "a linear head 15 of 20. The difference is within chance; the simpler one was kept.",
        statements=(
            "Probabilities are calibrated: temperature 1.42, 1.35 expected from other conditions and refined "
            "on 20 left-out patients.",
            "Prediction sets hold the true class in at least 90 % of new patients of the same source.",
            "Expected accuracy on new patients of the same source: 85 % (58-97 %, n = 20).",
            "Nearest conditions of meta-training: wrist fracture (0.31), chest pneumonia (0.44). At that "
            "distance an accuracy of 0.79 (0.66 to 0.88) is to be expected.",
        ),
        curve=(
            Point(2, 0.66, 0.48, 0.82),
            Point(4, 0.74, 0.56, 0.88),
            Point(6, 0.79, 0.6, 0.91),
            Point(10, 0.85, 0.62, 0.97),
            Point(15, 0.87, 0.68, 0.97),
            Point(20, 0.88, 0.71, 0.97),
            Point(30, 0.9, 0.74, 0.98),
        ),
        suspects=(
            ("support10", "Labelled osteoporosis, read as normal with 94 % when left out."),
            ("support19", "Labelled normal, but its five nearest scans are all osteoporosis."),
        ),
        shortcuts=(
            Finding(
                "acquisition-shortcut",
                Severity.WARNING,
                "The two classes come from different detectors: 9 of 10 scans of osteoporosis are 2048 wide, "
                "none of normal is. The model may have learned the detector.",
                "Add normal scans of the same detector.",
            ),
        ),
        limits=("Burned-in marks could not be judged: fewer than ten scans carry one.",),
        odd=(("support4", "Its embedding lies far from both classes; the knee is rotated."),),
        threshold=0.2,
        weights="general-2d (1.4.0)",
        seconds=3.84,
        modality="DX",
        miss_cost=4.0,
    )


def version(number: int = 2, active: bool = True, found: AdaptResult | None = None) -> VersionInfo:
    """By the owner."""
    return VersionInfo(f"v{number}", number, "auto", active, "Dr Maja Lind", NOW - 3600.0, found or result())


def earlier() -> VersionInfo:
    """A version with fewer patients."""
    found = replace(
        result(), shots=(6, 6), accuracy=share(9, 12), confusion=((5, 1), (2, 4)), judged=judged((5, 4), 12),
        sensitivities=(share(5, 6), share(4, 6)), method="prototypical",
    )  # fmt: skip
    return VersionInfo("v1", 1, "prototypical", False, "Dr Maja Lind", NOW - 9e4, found)


def too_few() -> VersionInfo:
    """One patient of each class."""
    found = replace(
        result(), shots=(1, 1), accuracy=None, balanced_accuracy=None, auroc=None, sensitivities=(None, None),
        confusion=((0, 0), (0, 0)), judged=(), curve=(), suspects=(), shortcuts=(), odd=(), choice="",
        too_few="Every class needs two patients or more.",
    )  # fmt: skip
    return VersionInfo("v0", 1, "auto", True, "Dr Maja Lind", NOW, found)


def job(kind: str = "adapt", state: str = "running", done: int = 7, total: int = 20) -> JobInfo:
    """Under way."""
    said = "Reading left-out patient 8 of 20" if state == "running" else ""
    return JobInfo("job1", kind, "cond", state, done, total, said, "", NOW - 4, None)


def shown(
    probabilities: tuple[float, ...] = (0.83, 0.17),
    names: tuple[str, ...] = NAMES,
    badges: tuple[Finding, ...] = (),
    none_of_these: bool = False,
    near: int = 4,
) -> ShownReading:
    """A reading; the nearest labelled scans are mostly of the first class."""
    top = max(range(len(names)), key=lambda i: probabilities[i])
    return ShownReading(
        label=names[top],
        classes=names,
        probabilities=probabilities,
        calibrated=True,
        set=() if none_of_these else (names[top],),
        promise="Such sets hold the true class in at least 90 % of new patients of the same source.",
        none_of_these=none_of_these,
        evidence_n="20 labelled patients; right in 17 of 20 left out (62-97 %)",
        badges=badges,
        near=tuple(
            Near(f"support{k + 1}", k + 1, names[0 if k < 3 else 1], 0.21 + 0.07 * k) for k in range(near)
        ),
    )


SHIFT = Finding(
    "unlike-support",
    Severity.WARNING,
    "Unlike every labelled scan: distance 1.31, usually below 0.74.",
    "Do not rely on the reading; label a few such scans.",
)
SHARP = Finding("blurred", Severity.INFO, "Less sharp than the labelled scans.")


def cases() -> tuple[CaseInfo, ...]:
    """Unread, read, doubtful, concealed, settled."""
    return (
        CaseInfo(scan(31, "case"), shown(), 2),
        CaseInfo(scan(32, "case"), shown((0.55, 0.45), badges=(SHIFT, SHARP), none_of_these=True), 2),
        CaseInfo(scan(33, "case"), None, 2, concealed=True),
        CaseInfo(scan(34, "case"), None, 0),
        CaseInfo(
            scan(35, "case"),
            shown((0.08, 0.92)),
            2,
            own="c1",
            verdict="agree",
            has_evidence=True,
        ),
    )
