"""Public encoders as they are published, read into a backbone's description and tensors.

Known are a ResNet with bottlenecks under torchvision's names (RadImageNet), a vision tower of open_clip
with timm's ViT (BiomedCLIP), and folders of transformers with DINOv2 (RAD-DINO) or CLIP. Only safetensors
are read: the pickles that many encoders are published as can run any code when they are loaded. Called by
`workbench.weights.importing`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.backbones.pretrained import Description, ResNetDescription, ViTDescription, to_config
from workbench.backbones.pretrained_transformers import (
    ClipDescription,
    Dinov2Description,
    clip_config,
    dinov2_config,
    library,
)
from workbench.errors import ModelFileError

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar")
Numbers = tuple[float, float, float]
D = TypeVar("D", bound=Description)

# Mean and standard deviation of the 0..1 image.
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""RadImageNet: ``(image - 127.5) * 2 / 255`` in the authors' PyTorch notebook (BMEII-AI/RadImageNet)."""
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""CLIP's, which open_clip uses where a model names no other, and BiomedCLIP too."""

_WRAPPERS = ("module.", "model.", "backbone.", "encoder.", "resnet.")
_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_HEADS = ("fc", "classifier", "linear", "head")
_TIMM = {
    "attn.proj": "attn.out_proj",
    "mlp.fc1": "mlp.linear1",
    "mlp.fc2": "mlp.linear2",
    "patch_embed.proj": "patch_embedding.patch_embeddings",
}
_OF_TEXT = ("text_", "logit_scale", "vision_model.embeddings.position_ids")
# timm fixes the heads of its sizes and writes them nowhere.
_HEADS_OF = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person who imports may choose.

    Attributes:
        size: side of the input in pixels.
        embedding, unit: see `workbench.backbones.pretrained.Description`.
        mean, std: of the encoder's normalisation, in place of what its files or publication say.
    """

    size: int = 224
    embedding: str = "cls"
    unit: bool = True
    mean: Numbers | None = None
    std: Numbers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """A public encoder as read.

    Attributes:
        spec: of the backbone that holds it.
        tensors: of that backbone, by its own names.
        licence: identifier found beside it, or empty.
    """

    spec: BackboneSpec
    tensors: dict[str, Tensor]
    licence: str = ""


def read_public(source: Path, wishes: Wishes) -> Published:
    """Read a public encoder.

    Args:
        source: a .safetensors file, or a folder with one and its config.json.
        wishes: see there.

    Raises:
        ModelFileError: naming what is missing and the fix.
        PlanError: the package transformers is needed and not installed.
    """
    if not source.exists():
        raise ModelFileError(f"{source.name}: there is no such file or folder.")
    folder = source if source.is_dir() else source.parent
    if source.is_dir() and (folder / "config.json").is_file():
        found = _transformers(folder, wishes)
    else:
        file = _only_safetensors(source) if source.is_dir() else source
        found = _single(file, wishes)
    return Published(found.spec, found.tensors, licence_beside(folder) if source.is_dir() else "")


def licence_beside(folder: Path) -> str:
    """The licence that the model card (README.md) of a folder states in its heading, or empty."""
    card = folder / "README.md"
    if not card.is_file():
        return ""
    heading = re.match(r"---\s*\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        values = yaml.safe_load(heading.group(1)) if heading else None
    except yaml.YAMLError:
        return ""
    if not isinstance(values, dict):
        return ""
    named = values.get("license_name") if values.get("license") == "other" else values.get("license")
    return str(named or values.get("license") or "")


def refuse_pickle(path: Path) -> None:
    """Refuse what only unpickling could read, with the line that converts it.

    Raises:
        ModelFileError: for the suffixes of pickles.
    """
    if path.suffix not in PICKLES:
        return
    raise ModelFileError(
        f"{path.name}: is a pickle, which can run any code when it is loaded, so the workbench reads none. "
        "Where the publisher has a .safetensors file, take that; else convert it yourself, once, as the "
        f"documentation (docs/pretrained.md, Pickles) shows, and import {path.stem}.safetensors."
    )


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a published file.

    Raises:
        ModelFileError: it is a pickle, damaged, or a file of the workbench already.
    """
    refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            if "workbench" in (file.metadata() or {}):
                raise ModelFileError(f"{path.name}: is a file of the workbench already; use it as it is.")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path.name}: is damaged or not a safetensors file.") from error


def _only_safetensors(folder: Path) -> Path:
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        for file in sorted(folder.iterdir()):
            refuse_pickle(file)
        raise ModelFileError(f"{folder.name}: holds no .safetensors file. Download the whole folder again.")
    if len(found) > 1:
        raise ModelFileError(f"{folder.name}: holds several .safetensors files. Name the one to import.")
    return found[0]


def _single(file: Path, wishes: Wishes) -> Published:
    tensors = read_safetensors(file)
    if any(name.startswith(("visual.trunk.", "trunk.")) or name == "cls_token" for name in tensors):
        return _timm_vit(tensors, file, wishes)
    return _resnet(tensors, file, wishes)


# --- ResNet ---


def torchvision_name(name: str) -> str:
    """torchvision's name of a ResNet's tensor: without wrappers, and with children that were numbered named.

    RadImageNet's files come from ``nn.Sequential(*children)``: ``backbone.4.0.conv1.weight`` is
    ``layer1.0.conv1.weight``.
    """
    while True:
        wrapper = next((w for w in _WRAPPERS if name.startswith(w)), "")
        if not wrapper:
            break
        name = name.removeprefix(wrapper)
    first, _, rest = name.partition(".")
    if first.isdigit() and rest.partition(".")[0] in _CHILDREN.values():
        return rest
    return f"{_CHILDREN[first]}.{rest}" if first in _CHILDREN else name


def _resnet(tensors: Mapping[str, Tensor], file: Path, wishes: Wishes) -> Published:
    named: dict[str, Tensor] = {}
    for published, value in tensors.items():
        name = torchvision_name(published)
        if name in named:
            raise ModelFileError(
                f"{file.name}: two tensors are {name!r} without their prefixes, so it holds two networks. "
                "Keep the one to import."
            )
        named[name] = value
    stem = named.get("conv1.weight")
    if stem is None or "layer1.0.conv1.weight" not in named:
        missing = "conv1.weight" if stem is None else "layer1.0.conv1.weight"
        raise ModelFileError(
            f"{file.name}: holds no tensor {missing!r}, so it is no ResNet; its first tensor is "
            f"{min(tensors, default='(none)')!r}. Known are torchvision's names of a ResNet-50 and "
            "open_clip's `visual.trunk.` of a ViT; a folder of transformers needs its config.json."
        )
    if "layer1.0.conv3.weight" not in named:
        raise ModelFileError(
            f"{file.name}: holds no tensor 'layer1.0.conv3.weight': its blocks are no bottlenecks (ResNet-18 "
            "or 34). ResNet-50, 101 and 152 are known."
        )
    channels = _channels(stem, file)
    stages = [_count(named, rf"layer{stage}\.(\d+)\.") for stage in range(1, 5)]
    description = _describe(
        ResNetDescription(
            mean=HALF[0],
            std=HALF[1],
            layers=(stages[0], stages[1], stages[2], stages[3]),
            width=len(stem),
        ),
        wishes,
    )
    if wishes.embedding != "cls":
        raise ModelFileError(f"{file.name}: is a ResNet, which has no tokens. Leave --embedding out.")
    own = {f"network.{n}": v for n, v in named.items() if n.partition(".")[0] not in _HEADS}
    # Older files do not count batches; nothing reads the count.
    for name in [n for n in own if n.endswith("running_var")]:
        own.setdefault(name.replace("running_var", "num_batches_tracked"), torch.tensor(0))
    return Published(BackboneSpec("resnet50", channels, wishes.size, config=to_config(description)), own)


# --- timm's ViT ---


def _timm_vit(tensors: Mapping[str, Tensor], file: Path, wishes: Wishes) -> Published:
    trunk = {
        _untrunked(n): v for n, v in tensors.items() if not n.startswith(("text.", "logit_", "visual.head"))
    }
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"):
        if name not in trunk:
            raise ModelFileError(
                f"{file.name}: holds no tensor {'visual.trunk.' + name!r}; the file is not a vision tower of "
                "open_clip with timm's ViT, or only part of it."
            )
    kernel, first = trunk["patch_embed.proj.weight"], trunk["blocks.0.mlp.fc1.weight"]
    hidden, patch = kernel.shape[0], kernel.shape[2]
    if hidden not in _HEADS_OF:
        known = ", ".join(map(str, _HEADS_OF))
        raise ModelFileError(f"{file.name}: has tokens of {hidden} numbers; known are timm's {known}.")
    mean, std = _open_clip_normalisation(file.parent)
    projection = tensors.get("visual.head.proj.weight")
    projected = wishes.embedding == "projected"
    if projected and projection is None:
        raise ModelFileError(f"{file.name}: holds no tensor 'visual.head.proj.weight' to project with.")
    description = _describe(
        ViTDescription(
            mean=mean,
            std=std,
            patch=patch,
            hidden=hidden,
            mlp=len(first),
            layers=_count(trunk, r"blocks\.(\d+)\."),
            heads=_HEADS_OF[hidden],
            projection=len(projection) if projected and projection is not None else 0,
        ),
        wishes,
    )
    own = {f"network.{_monai_name(n)}": v for n, v in trunk.items() if n not in ("cls_token", "pos_embed")}
    positions = trunk["pos_embed"].float()
    # MONAI gives the class token no position: its position is added to it here, once and for all.
    own["network.cls_token"] = trunk["cls_token"].float() + positions[:, :1]
    own["network.patch_embedding.position_embeddings"] = resized(positions[:, 1:], wishes.size // patch)
    if projected and projection is not None:
        own["projection.weight"] = projection
    channels = _channels(kernel, file)
    return Published(BackboneSpec("timm-vit", channels, wishes.size, config=to_config(description)), own)


def resized(positions: Tensor, side: int) -> Tensor:
    """Position embeddings ``(1, n, d)`` of a square of patches for another side (bicubic, as in timm)."""
    before = round(positions.shape[1] ** 0.5)
    if before == side:
        return positions
    grid = positions.reshape(1, before, before, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return grid.permute(0, 2, 3, 1).flatten(1, 2)


def _untrunked(name: str) -> str:
    return name.removeprefix("visual.").removeprefix("trunk.")


def _monai_name(name: str) -> str:
    for theirs, ours in _TIMM.items():
        name = name.replace(theirs, ours)
    return name


def _open_clip_normalisation(folder: Path) -> tuple[Numbers, Numbers]:
    file = folder / "open_clip_config.json"
    if not file.is_file():
        return OPENAI
    values = _json(file).get("preprocess_cfg") or {}
    return _three(values.get("mean", OPENAI[0]), file, "mean"), _three(
        values.get("std", OPENAI[1]), file, "std"
    )


# --- transformers ---


def _transformers(folder: Path, wishes: Wishes) -> Published:
    values = _json(folder / "config.json")
    kind = values.get("model_type")
    if not list(folder.glob("*.safetensors")):
        for file in sorted(folder.iterdir()):
            refuse_pickle(file)
        raise ModelFileError(f"{folder.name}: holds no .safetensors file. Download the whole folder again.")
    if kind == "dinov2":
        return _dinov2(folder, values, wishes)
    if kind == "clip":
        # The whole model's projection_dim is the one it was built with; the tower's own may be a default.
        shared = {k: values[k] for k in ("projection_dim",) if k in values}
        return _clip(folder, {**(values.get("vision_config") or {}), **shared}, wishes)
    if kind == "clip_vision_model":
        return _clip(folder, values, wishes)
    raise ModelFileError(
        f"{folder.name}/config.json: model_type {kind!r} is not known. Known are dinov2, clip and "
        "clip_vision_model."
    )


def _dinov2(folder: Path, values: Mapping[str, Any], wishes: Wishes) -> Published:
    if wishes.embedding == "projected":
        raise ModelFileError(
            f"{folder.name}: DINOv2 has no projection. Choose --embedding cls, mean or both."
        )
    description = _from_json(Dinov2Description, values, folder, wishes)
    channels = int(values.get("num_channels", 3))
    _three_channels(channels, folder)
    network = _loaded(
        "Dinov2Model", dinov2_config(description), folder, ("embeddings.mask_token", "classifier.")
    )
    own = {f"network.{n}": v for n, v in network.state_dict().items()}
    return Published(BackboneSpec("dinov2", channels, wishes.size, config=to_config(description)), own)


def _clip(folder: Path, values: Mapping[str, Any], wishes: Wishes) -> Published:
    description = _from_json(ClipDescription, values, folder, wishes)
    channels = int(values.get("num_channels", 3))
    _three_channels(channels, folder)
    projected = wishes.embedding == "projected"
    spare = _OF_TEXT if projected else (*_OF_TEXT, "visual_projection.weight")
    network = _loaded("CLIPVisionModelWithProjection", clip_config(description), folder, spare)
    own = {f"network.{n}": v for n, v in network.vision_model.state_dict().items()}
    if projected:
        own["projection.weight"] = network.visual_projection.weight.detach()
    return Published(BackboneSpec("clip-vision", channels, wishes.size, config=to_config(description)), own)


def _loaded(kind: str, config: Any, folder: Path, spare: tuple[str, ...]) -> Any:
    """A network of transformers with the folder's tensors, every one in its place.

    transformers itself fills what is missing with random numbers, drops what is too much, and says so in a
    log only. Names that begin like one of `spare` may be missing or too much.
    """
    package = library(kind)
    package.utils.logging.disable_progress_bar()
    package.utils.logging.set_verbosity_error()
    try:
        network, found = getattr(package, kind).from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelFileError(
            f"{folder.name}: its tensors are not those that its config.json describes. Download the whole "
            f"folder again. ({str(error).strip().splitlines()[0]})"
        ) from error
    missing, unknown = (
        sorted(name for name in found[key] if not name.startswith(spare))
        for key in ("missing_keys", "unexpected_keys")
    )
    if missing:
        raise ModelFileError(
            f"{folder.name}: tensor {missing[0]!r} is missing ({len(missing)} in all). The file holds "
            "another network than config.json says, or part of one. Download the whole folder again."
        )
    if unknown:
        raise ModelFileError(
            f"{folder.name}: tensor {unknown[0]!r} has no place in {kind} ({len(unknown)} in all): a variant "
            "that is not known here."
        )
    return network


def _from_json(kind: type[D], values: Mapping[str, Any], folder: Path, wishes: Wishes) -> D:
    """A description with the fields of its own that config.json has."""
    mean, std = wishes.mean, wishes.std
    if mean is None or std is None:
        mean, std = _processor_normalisation(folder)
    shared = {f.name for f in fields(Description)}
    chosen = {f.name: values[f.name] for f in fields(kind) if f.name not in shared and f.name in values}
    try:
        made = kind(mean=mean, std=std, embedding=wishes.embedding, unit=wishes.unit, **chosen)
    except ValueError as error:
        raise ModelFileError(f"{folder.name}: {error}.") from error
    return made


def _processor_normalisation(folder: Path) -> tuple[Numbers, Numbers]:
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        raise ModelFileError(
            f"{folder.name}: holds no preprocessor_config.json, which says how images were normalised. Put "
            "it there, or give --mean and --std."
        )
    values = _json(file)
    if values.get("do_normalize", True) is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return _three(values.get("image_mean"), file, "image_mean"), _three(
        values.get("image_std"), file, "image_std"
    )


# --- shared ---


def _describe(description: D, wishes: Wishes) -> D:
    return replace(
        description,
        embedding=wishes.embedding,
        unit=wishes.unit,
        mean=wishes.mean or description.mean,
        std=wishes.std or description.std,
    )


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    numbers = [int(found.group(1)) for name in tensors if (found := re.match(pattern, name))]
    return max(numbers, default=-1) + 1


def _channels(kernel: Tensor, file: Path) -> int:
    channels = kernel.shape[1]
    if channels not in (1, 3):
        raise ModelFileError(f"{file.name}: takes images of {channels} channels; the workbench has 1 or 3.")
    return channels


def _three_channels(channels: int, folder: Path) -> None:
    if channels != 3:
        raise ModelFileError(f"{folder.name}: takes images of {channels} channels; 3 are known here.")


def _json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelFileError(f"{file.name}: is not JSON. Download it again.") from error
    if not isinstance(values, dict):
        raise ModelFileError(f"{file.name}: is not a JSON object. Download it again.")
    return values


def _three(values: object, file: Path, field: str) -> Numbers:
    if isinstance(values, list | tuple) and len(values) == 3:
        return (float(values[0]), float(values[1]), float(values[2]))
    raise ModelFileError(
        f"{file.name}: field {field!r} must be three numbers. Give --mean and --std instead."
    )
