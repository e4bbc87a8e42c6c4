"""What is doubtful about a support: labels, copies, and ways of acquisition that give the label away.

`support_findings` asks `mislabelled`, `duplicates` and `shortcuts`, and says what they found in plain words.
Nothing is changed or left out: a person decides. Called by `workbench adapt` and the web UI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.adaptation.duplicates import DuplicatePair, find_duplicates
from workbench.adaptation.estimate import Estimate
from workbench.adaptation.mislabelled import LabelDoubt, label_doubts
from workbench.adaptation.shortcuts import Shortcut, ShortcutTest, find_shortcuts
from workbench.data.examples import Example, Features, Support
from workbench.errors import SupportError
from workbench.imaging.scan import Finding, Severity
from workbench.learners.base import Classifier

PLAUSIBLE = 0.2
"""Where more than this share of the scans look like another class, it is the model that is weak."""
MOST = 5
"""Scans or pairs named in one finding; all are in the object."""


@dataclass(frozen=True, slots=True)
class SupportFindings:
    """What is doubtful about a support.

    Attributes:
        classes: class names.
        names: what to call each scan on the user's own screen.
        doubts: every judged scan, the most doubtful label first; suspects are marked.
        duplicates: pairs across classes or patients.
        shortcuts: the test of acquisition properties; None where the scans themselves were not given.
        is_readable: whether the readings of left-out patients beat guessing, and at most `PLAUSIBLE` of the
            labels are contradicted: only then does a contradiction say something about the label.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    doubts: tuple[LabelDoubt, ...]
    duplicates: tuple[DuplicatePair, ...]
    shortcuts: ShortcutTest | None
    is_readable: bool

    @property
    def suspects(self) -> tuple[LabelDoubt, ...]:
        """Scans that are probably mislabelled, the most doubtful first; none where readings are guesses."""
        return tuple(d for d in self.doubts if d.is_suspect) if self.is_readable else ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything a person should look at, in plain words; it names scans: for the user's screen only."""
        doubtful = self._mislabelled()
        return (*((doubtful,) if doubtful else ()), *self._copies(), *map(_shortcut, self._found))

    @property
    def summary(self) -> tuple[str, ...]:
        """The same in counts, without any scan's name, for a file or a report."""
        lines = []
        if self.suspects:
            count = f"{len(self.suspects)} of {len(self.names)}"
            lines.append(f"{count} labelled scans look as if of another class.")
        across = sum(pair.across_classes for pair in self.duplicates)
        if across:
            lines.append(f"{_counted(across, 'pair')} of labelled scans look like one image with two labels.")
        if len(self.duplicates) > across:
            count = _counted(len(self.duplicates) - across, "pair")
            lines.append(f"{count} of labelled scans of different patients look like one image.")
        return (*lines, *(_shortcut(one).message for one in self._found))

    @property
    def limits(self) -> tuple[str, ...]:
        """What could not be judged, so that silence is not taken for an answer."""
        lines = []
        if not self.is_readable:
            lines.append(
                "Labels could not be doubted: the model itself reads too many left-out patients wrong."
            )
        if self.shortcuts is not None and self.shortcuts.is_weak:
            lines.append(
                f"With {_counted(self.shortcuts.patients, 'patient')} in the smallest class, an acquisition "
                "shortcut may go unnoticed."
            )
        return tuple(lines)

    @property
    def _found(self) -> tuple[Shortcut, ...]:
        return self.shortcuts.found if self.shortcuts is not None else ()

    def _mislabelled(self) -> Finding | None:
        suspects = self.suspects
        if not suspects:
            return None
        listed = ", ".join(
            f"{self.names[d.row]} (labelled {self.classes[d.given]!r}, looks like "
            f"{self.classes[d.likely]!r}, doubt {d.score:.2f})"
            for d in suspects[:MOST]
        )
        more = f" and {len(suspects) - MOST} more" if len(suspects) > MOST else ""
        return Finding(
            "label-doubtful",
            Severity.WARNING,
            f"The label of {_counted(len(suspects), 'scan')} is doubtful: {listed}{more}. Read by a model "
            "that has not seen it, each looks like another class, as the scans it resembles do.",
            "Look at them again. A rare but right example looks the same, so remove none unseen.",
        )

    def _copies(self) -> list[Finding]:
        found = []
        if listed := self._listed([p for p in self.duplicates if p.across_classes]):
            found.append(
                Finding(
                    "copies-across-classes",
                    Severity.WARNING,
                    f"Scans that look like one image carry different labels: {listed}.",
                    "Keep the right one.",
                )
            )
        if listed := self._listed([p for p in self.duplicates if not p.across_classes]):
            found.append(
                Finding(
                    "copies-across-patients",
                    Severity.WARNING,
                    f"Scans that look like one image are given as different patients: {listed}.",
                    "If they are of one patient, say so, or keep one.",
                )
            )
        return found

    def _listed(self, pairs: Sequence[DuplicatePair]) -> str:
        named = ", ".join(f"{self.names[p.first]} and {self.names[p.second]}" for p in pairs[:MOST])
        return f"{named} and {len(pairs) - MOST} more pairs" if len(pairs) > MOST else named


def support_findings(
    classifier: Classifier, support: Support, estimate: Estimate, examples: Sequence[Example] = ()
) -> SupportFindings:
    """What is doubtful about the support a classifier was adapted to.

    Args:
        classifier: adapted to the support.
        support: the labelled images.
        estimate: `leave_one_patient_out` of the same support.
        examples: its scans in the support's order; without them acquisition cannot be looked at.

    Raises:
        SupportError: the examples are not those of the support.
    """
    if examples and len(examples) != len(support):
        raise SupportError(f"{len(examples)} examples were given for a support of {len(support)} scans.")
    labels = support.labels.numpy()
    embeddings = classifier.support_embeddings.double().numpy()
    images = None if isinstance(support.inputs, Features) else support.inputs.numpy()
    doubts = label_doubts(estimate.probabilities, estimate.judged, embeddings, labels, support.patients)
    return SupportFindings(
        classes=support.classes,
        names=support.names or tuple(f"scan {row + 1}" for row in range(len(support))),
        doubts=doubts,
        duplicates=find_duplicates(images, embeddings, labels, support.patients),
        shortcuts=find_shortcuts([e.scan for e in examples], labels, support.patients) if examples else None,
        is_readable=is_readable(estimate, doubts),
    )


def is_readable(estimate: Estimate, doubts: Sequence[LabelDoubt]) -> bool:
    """See `SupportFindings.is_readable`."""
    accuracy = estimate.performance.balanced_accuracy
    beats_guessing = accuracy is not None and bool(accuracy.low > 1 / len(estimate.performance.classes))
    return beats_guessing and sum(d.is_suspect for d in doubts) <= PLAUSIBLE * len(doubts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _shortcut(one: Shortcut) -> Finding:
    told = (
        f"From the {one.name} alone, the class of {one.right} of {one.n} patients can be told "
        f"(p = {one.p:.3f} over all properties tried)."
    )
    if one.is_content:
        return Finding(
            "appearance-predicts-label",
            Severity.INFO,
            f"{told} It may be the disease, or the light and the device.",
            "Make sure that the classes were taken in the same way.",
        )
    return Finding(
        "acquisition-shortcut",
        Severity.WARNING,
        f"{told} The model may have learned it in place of the disease.",
        "Add scans so that every class has scans of both kinds, or crop what gives the class away.",
    )
