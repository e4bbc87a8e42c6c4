"""Dataset cards: what a public dataset is, where it lives, and what may be done with it.

A card is one YAML file in ``datasets/``. This module is the schema and its loader; it knows nothing of
where data lies on disk (see `catalogue`) or how files are read (see `layouts`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.errors import CardError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is there

Modality = Literal["CT", "MR", "US", "DX", "CR", "MG", "IO", "ES", "OP", "OPT", "SM", "GM", "XC", "OT"]
"""DICOM modality codes (PS3.3 C.7.3.1.1.1); ``XC`` covers dermatoscopy, ``OT`` what has no single code."""

TaskKind = Literal["binary", "multiclass", "ordinal", "multilabel"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassCard(_Model):
    """One class.

    Attributes:
        name: what people call it.
        key: how the files spell it (folder name, column value, integer code); `name` where not given.
        description: what it means, one sentence.
    """

    name: str = Field(min_length=1)
    key: str = ""
    description: str = ""

    @property
    def spelled(self) -> str:
        """The key as it stands in the files."""
        return self.key or self.name


class SourceFile(_Model):
    """One file to download.

    Attributes:
        name: file name below the dataset's folder; no part of it starts with a dot, so it stays there.
        address: URL, or None where the publisher offers no direct download.
        size: bytes, where published.
        md5, sha256: as published; None where the publisher gives none (then a download is not verified).
        pixels: image side of this variant, where the publisher offers several sizes of one dataset.
        extract: unpack the archive (zip or tar) into the dataset's folder.
        strip: leading folder of the archive's members that is left out when unpacking.
    """

    name: str = Field(pattern=r"^\w[\w.\-]*(/\w[\w.\-]*)*$")
    address: str | None = Field(default=None, pattern=r"^https?://\S+$")
    size: int | None = Field(default=None, gt=0)
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    pixels: int | None = Field(default=None, gt=0)
    extract: bool = False
    strip: str = ""


class Source(_Model):
    """Where a dataset comes from.

    Attributes:
        page: the publisher's page, for people; empty where it is not known.
        files: what `workbench data fetch` downloads; empty where it must be fetched by hand.
        manual: what to do by hand (log in, accept terms), where that is needed.
    """

    page: str
    files: tuple[SourceFile, ...] = ()
    manual: str = ""


class Licence(_Model):
    """Terms of use.

    Attributes:
        id: SPDX identifier where there is one, else ``LicenseRef-...``.
        text: the terms in a sentence.
        weights_may_be_shipped: whether weights trained on the set may be redistributed for any use.
        share_alike: whether what is derived must carry the same licence.
    """

    id: str = Field(min_length=1)
    text: str
    weights_may_be_shipped: bool
    share_alike: bool = False


class ClassFolders(_Model):
    """One folder of image files per class, named by the class's key."""

    kind: Literal["class_folders"]
    root: str = "."


class CsvImages(_Model):
    """Image files named by a table.

    Attributes:
        table: CSV file.
        images: folder of the images.
        image_column, label_column: columns with the image's stem and the class key.
        suffix: file ending added to the image column.
        split_column: column with the official split, where there is one.
    """

    kind: Literal["csv_images"]
    table: str
    images: str = "."
    image_column: str
    label_column: str
    suffix: str = ""
    split_column: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Files and folders that must be there."""
        return (self.table, self.images)


class Npz(_Model):
    """MedMNIST 2-D: ``{split}_images`` (n, h, w[, 3]) and ``{split}_labels`` (n, 1 or k) in one .npz."""

    kind: Literal["npz"]
    file: str


class Npz3d(_Model):
    """MedMNIST 3-D: as `Npz`, with volumes (n, slices, rows, columns) of unknown spacing."""

    kind: Literal["npz3d"]
    file: str


class VocBoxes(_Model):
    """Pascal VOC: each annotated box is one image, cropped.

    Attributes:
        annotations, images: folders of the XML and image files.
        splits: folder with ``train.txt``, ``val.txt`` and ``test.txt``, where there is one.
    """

    kind: Literal["voc_boxes"]
    annotations: str
    images: str
    splits: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Files and folders that must be there."""
        return (self.annotations, self.images)


class Omniglot(_Model):
    """The two official zips, with one text file of class names per split (Vinyals et al. 2016).

    Attributes:
        archives: the zips.
        splits: folder with ``train.txt``, ``val.txt`` and ``test.txt``.
        rotations: degrees anticlockwise; each rotation of a character is a class of its own.
    """

    kind: Literal["omniglot"]
    archives: tuple[str, ...]
    splits: str
    rotations: tuple[Literal[0, 90, 180, 270], ...] = (0,)

    @property
    def parts(self) -> tuple[str, ...]:
        """Files and folders that must be there."""
        return (*self.archives, self.splits)


class Medimeta(_Model):
    """MedIMeta (Woerner et al. 2024): a table of image paths, one ``.npy`` of labels per task, split lists.

    Attributes:
        task: name of the task, i.e. of the label file.
    """

    kind: Literal["medimeta"]
    task: str

    @property
    def parts(self) -> tuple[str, ...]:
        """Files and folders that must be there."""
        return ("images", "splits", f"task_labels/{self.task}.npy")


Layout = Annotated[
    ClassFolders | CsvImages | Npz | Npz3d | VocBoxes | Omniglot | Medimeta, Field(discriminator="kind")
]


class PatientColumn(_Model):
    """The patient key is a column of the layout's table (MedIMeta: ``annotations.csv``).

    Attributes:
        column: its name.
        required: whether a table without it is an error; else patients are unknown there.
    """

    kind: Literal["column"]
    column: str
    required: bool = True


class PatientInName(_Model):
    """The patient key is read out of the file's name.

    Attributes:
        pattern: regular expression searched in the name below the dataset's folder (``class/file.jpg``);
            its groups, joined by ``/``, are the key.
        pairs: the key is a number and odd numbers pair with the next even one (mini-MIAS: 1 with 2).
    """

    kind: Literal["name"]
    pattern: str
    pairs: bool = False

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if groups == 0:
            raise ValueError("the pattern needs a group in parentheses around the patient key")
        return self

    def key(self, name: str) -> str | None:
        """Patient key in a file name, or None where the pattern is not found."""
        found = re.search(self.pattern, name)
        if found is None:
            return None
        key = "/".join(group or "" for group in found.groups())
        return str((int(key) + 1) // 2) if self.pairs else key


class PatientUnknown(_Model):
    """No patient key is published; each distinct image counts as its own patient."""

    kind: Literal["none"]


PatientKey = Annotated[PatientColumn | PatientInName | PatientUnknown, Field(discriminator="kind")]


class Card(_Model):
    """One dataset.

    Attributes:
        name: identifier, equal to the card's file stem.
        title: for people.
        modality: DICOM modality code.
        body_part: in words.
        task: what kind of answer the classes make; ordinal classes are listed in order.
        classes: in label order; empty where the classes are found in the files (Omniglot).
        source, licence, layout, patient: see their types.
        folder: folder of the files below a data folder; `name` where not given.
        splits: official splits, in words of the files.
        origin: keys of the image collections the set was made from; sets that share one are never split
            between training and evaluation.
        images: number of images published, where known.
        citation: how to cite it.
        flaws: what a user should know before trusting a number computed on it.
    """

    name: str = Field(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$")
    title: str
    modality: Modality
    body_part: str
    task: TaskKind
    classes: tuple[ClassCard, ...]
    source: Source
    licence: Licence
    layout: Layout
    patient: PatientKey
    folder: str = ""
    splits: tuple[Literal["train", "val", "test"], ...] = ()
    origin: tuple[str, ...] = Field(min_length=1)
    images: int | None = Field(default=None, gt=0)
    citation: str
    flaws: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for values in ([c.name for c in self.classes], [c.spelled for c in self.classes]):
            if repeated := {v for v in values if values.count(v) > 1}:
                raise ValueError(f"classes: {sorted(repeated)} given twice")
        if self.task == "binary" and len(self.classes) != 2:
            raise ValueError(f"classes: a binary task has two classes, not {len(self.classes)}")
        if not self.classes and self.layout.kind != "omniglot":
            raise ValueError("classes: none given")
        if self.patient.kind == "column" and self.layout.kind not in ("csv_images", "medimeta"):
            raise ValueError(f"patient: layout '{self.layout.kind}' has no table to read a column from")
        return self

    @property
    def place(self) -> str:
        """Name of the folder that holds the files, below a data folder."""
        return self.folder or self.name


def load_card(path: Path) -> Card:
    """The card in one YAML file.

    Raises:
        CardError: naming the file and the field, if it is not YAML or does not follow the schema.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CardError(f"{path.name}: cannot be read as YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict):
        raise CardError(f"{path.name}: must be a mapping of fields, not {type(values).__name__}.")
    try:
        card = Card.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'card'}: {e['msg']}" for e in error.errors()]
        raise CardError(f"{path.name}: " + "; ".join(problems)) from error
    if card.name != path.stem:
        raise CardError(f"{path.name}: name: is '{card.name}' but must equal the file's stem '{path.stem}'.")
    return card
