"""Public encoders against independent forward passes, on random weights in their published form."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from typer.testing import CliRunner

from tests.helpers import SIZE, striped_cohort
from tests.userfiles import class_folders
from workbench.adaptation.model import load_weights
from workbench.backbones import BackboneSpec, build
from workbench.cli import app
from workbench.errors import ModelFileError, PlanError
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Learner
from workbench.learners.files import create, load_learner
from workbench.training.plan import parse_plan
from workbench.training.run import train
from workbench.weights.importing import import_encoder
from workbench.weights.public import Wishes, torchvision_name

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Tensors = dict[str, Tensor]


def pixels(size: int, count: int = 3) -> Tensor:
    """uint8 images as a recipe makes them."""
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.manual_seed(1))


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    unit = images.permute(0, 3, 1, 2).double() / 255
    return (unit - torch.tensor(mean).double().view(1, 3, 1, 1)) / torch.tensor(std).double().view(1, 3, 1, 1)


def imported(source: Path, wishes: Wishes, licence: str = "") -> Learner:
    """By way of a file, with the original out of reach when it is read."""
    out = source.parent / "imported.safetensors"
    import_encoder(source, out, wishes, licence=licence)
    source.rename(source.with_name("gone"))
    return load_learner(out).learner


# --- ResNet ---

LAYERS, WIDTH = (1, 2, 1, 1), 4


def resnet_tensors() -> Tensors:
    """Random weights of a small ResNet under torchvision's names, statistics away from their start."""
    generator = torch.manual_seed(0)
    found: Tensors = {}

    def convolution(name: str, outputs: int, inputs: int, side: int) -> None:
        found[f"{name}.weight"] = (
            torch.randn(outputs, inputs, side, side, generator=generator) / (inputs * side * side) ** 0.5
        )

    def norm(name: str, channels: int) -> None:
        found[f"{name}.weight"] = torch.rand(channels, generator=generator) + 0.5
        found[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.1
        found[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.1
        found[f"{name}.running_var"] = torch.rand(channels, generator=generator) + 0.5
        found[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", WIDTH, 3, 7)
    norm("bn1", WIDTH)
    inputs = WIDTH
    for stage, blocks in enumerate(LAYERS, 1):
        planes = WIDTH * 2 ** (stage - 1)
        for block in range(blocks):
            place = f"layer{stage}.{block}"
            for number, (ins, outs, side) in enumerate(
                ((inputs, planes, 1), (planes, planes, 3), (planes, 4 * planes, 1)), 1
            ):
                convolution(f"{place}.conv{number}", outs, ins, side)
                norm(f"{place}.bn{number}", outs)
            if block == 0:
                convolution(f"{place}.downsample.0", 4 * planes, inputs, 1)
                norm(f"{place}.downsample.1", 4 * planes)
            inputs = 4 * planes
    return found


def resnet_forward(t: Tensors, x: Tensor) -> Tensor:
    """He et al. 2016 as in torchvision: a stage's stride is that of its first 3x3 convolution."""
    t = {n: v.double() for n, v in t.items()}

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance = t[f"{name}.running_mean"], t[f"{name}.running_var"]
        scale = t[f"{name}.weight"] / (variance + 1e-5).sqrt()
        return (x - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + t[f"{name}.bias"].view(1, -1, 1, 1)

    x = norm("bn1", F.conv2d(x, t["conv1.weight"], stride=2, padding=3)).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, blocks in enumerate(LAYERS, 1):
        for block in range(blocks):
            place, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = norm(f"{place}.bn1", F.conv2d(x, t[f"{place}.conv1.weight"])).relu()
            y = norm(f"{place}.bn2", F.conv2d(y, t[f"{place}.conv2.weight"], stride=stride, padding=1)).relu()
            y = norm(f"{place}.bn3", F.conv2d(y, t[f"{place}.conv3.weight"]))
            if block == 0:
                x = norm(
                    f"{place}.downsample.1", F.conv2d(x, t[f"{place}.downsample.0.weight"], stride=stride)
                )
            x = (x + y).relu()
    return x.mean((2, 3))


def radimagenet_name(name: str) -> str:
    """Its files number the children of the network: ``nn.Sequential(*list(resnet50().children())[:9])``."""
    first, _, rest = name.partition(".")
    number = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}[first]
    return f"backbone.{number}.{rest}"


NAMINGS: dict[str, Callable[[str], str]] = {
    "torchvision": lambda n: n,
    "radimagenet": radimagenet_name,
    "data-parallel": lambda n: f"module.{n}",
    "wrapped": lambda n: f"backbone.0.{n}",
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_resnet_embeds_as_torchvision_would(tmp_path: Path, naming: str) -> None:
    tensors = resnet_tensors()
    file = tmp_path / "resnet.safetensors"
    published = {NAMINGS[naming](n): v for n, v in tensors.items()}
    save_file({**published, "fc.weight": torch.ones(2, 2)}, file)
    learner = imported(file, Wishes(size=64, unit=False))
    # RadImageNet's own preprocessing: (image - 127.5) * 2 / 255.
    given = (pixels(64).permute(0, 3, 1, 2).double() - 127.5) * 2 / 255
    expected = resnet_forward(tensors, given).float()
    torch.testing.assert_close(learner.features(pixels(64)), expected, rtol=1e-4, atol=1e-5)


def test_names_without_counts_of_batches_are_read_too(tmp_path: Path) -> None:
    tensors = {n: v for n, v in resnet_tensors().items() if "num_batches" not in n}
    save_file(tensors, tmp_path / "old.safetensors")
    assert imported(tmp_path / "old.safetensors", Wishes(size=32)).features(pixels(32)).shape == (
        3,
        32 * WIDTH,
    )


def test_numbered_children_and_numbered_blocks_are_told_apart() -> None:
    assert torchvision_name("module.backbone.4.0.conv1.weight") == "layer1.0.conv1.weight"
    assert torchvision_name("backbone.0.weight") == "conv1.weight"
    assert torchvision_name("0.layer1.0.conv1.weight") == "layer1.0.conv1.weight"


# --- timm's ViT ---

HIDDEN, HEADS = 192, 3


def timm_tensors(grid: int = 3, patch: int = 8) -> Tensors:
    """Random weights of a small ViT under open_clip's names for timm's."""
    generator = torch.manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.05

    found = {
        "cls_token": some(1, 1, HIDDEN),
        "pos_embed": some(1, grid**2 + 1, HIDDEN),
        "patch_embed.proj.weight": some(HIDDEN, 3, patch, patch),
        "patch_embed.proj.bias": some(HIDDEN),
    }
    for place in ("blocks.0", "blocks.1"):
        for name, (outs, ins) in {
            "attn.qkv": (3 * HIDDEN, HIDDEN),
            "attn.proj": (HIDDEN, HIDDEN),
            "mlp.fc1": (2 * HIDDEN, HIDDEN),
            "mlp.fc2": (HIDDEN, 2 * HIDDEN),
        }.items():
            found |= {f"{place}.{name}.weight": some(outs, ins), f"{place}.{name}.bias": some(outs)}
    for name in ("blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2", "norm"):
        found |= {f"{name}.weight": 1 + some(HIDDEN), f"{name}.bias": some(HIDDEN)}
    return {f"visual.trunk.{n}": v for n, v in found.items()} | {
        "visual.head.proj.weight": some(5, HIDDEN),
        "text.transformer.x": some(2),
        "logit_scale": torch.tensor(1.0),
    }


def timm_forward(tensors: Tensors, x: Tensor) -> Tensor:
    """Tokens ``(n, 1 + patches, hidden)`` by Dosovitskiy et al. 2021, equations 1 to 4, in float64."""
    t = {n.removeprefix("visual.trunk."): v.double() for n, v in tensors.items()}

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]

    kernel = t["patch_embed.proj.weight"]
    x = F.conv2d(x, kernel, t["patch_embed.proj.bias"], stride=kernel.shape[2]).flatten(2).mT
    x = torch.cat([t["cls_token"].expand(len(x), -1, -1), x], 1) + t["pos_embed"]
    for block in ("blocks.0", "blocks.1"):
        q, k, v = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x)).chunk(3, -1)
        mixed = []
        for head in range(HEADS):
            part = slice(head * HIDDEN // HEADS, (head + 1) * HIDDEN // HEADS)
            weights = (q[..., part] @ k[..., part].mT / (HIDDEN // HEADS) ** 0.5).softmax(-1)
            mixed.append(weights @ v[..., part])
        x = x + linear(f"{block}.attn.proj", torch.cat(mixed, -1))
        x = x + linear(f"{block}.mlp.fc2", F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x))))
    return norm("norm", x)


@pytest.mark.parametrize("embedding", ["cls", "mean", "both", "projected"])
def test_a_vit_of_open_clip_embeds_as_timm_would(tmp_path: Path, embedding: str) -> None:
    tensors = timm_tensors(grid=4)
    folder = tmp_path / "biomed"
    folder.mkdir()
    save_file(tensors, folder / "open_clip_model.safetensors")
    mean, std = (0.48, 0.45, 0.40), (0.26, 0.26, 0.27)
    (folder / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {"mean": mean, "std": std}}))
    learner = imported(folder, Wishes(size=32, embedding=embedding, unit=False))
    tokens = timm_forward(tensors, normalised(pixels(32), mean, std))
    expected = {
        "cls": tokens[:, 0],
        "mean": tokens[:, 1:].mean(1),
        "both": torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1),
        "projected": tokens[:, 0] @ tensors["visual.head.proj.weight"].double().T,
    }[embedding]
    torch.testing.assert_close(learner.features(pixels(32)), expected.float(), rtol=1e-4, atol=1e-5)


def test_positions_of_a_vit_are_interpolated_to_another_size(tmp_path: Path) -> None:
    file = tmp_path / "vit.safetensors"
    tensors = timm_tensors(grid=4)
    # Positions that are a ramp stay that ramp in the middle, and constants stay constants everywhere.
    tensors["visual.trunk.pos_embed"] = torch.ones(1, 17, 1) * torch.arange(HIDDEN)
    save_file(tensors, file)
    learner = imported(file, Wishes(size=48))
    positions = learner.state_dict()["backbone.network.patch_embedding.position_embeddings"]
    torch.testing.assert_close(positions, torch.ones(1, 36, 1) * torch.arange(HIDDEN))


# --- transformers ---


def hugging_folder(tmp_path: Path, kind: str, swiglu: bool = False) -> tuple[Path, torch.nn.Module]:
    """A small random network in the published form, which is what `save_pretrained` writes."""
    transformers = pytest.importorskip("transformers", reason="the extra 'pretrained' is not installed")
    torch.manual_seed(0)
    common = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    if kind == "dinov2":
        config = transformers.Dinov2Config(
            **common, image_size=42, patch_size=14, layerscale_value=0.7, use_swiglu_ffn=swiglu
        )
        network = transformers.Dinov2Model(config)
    else:
        config = transformers.CLIPVisionConfig(
            **common, intermediate_size=48, projection_dim=5, image_size=32, patch_size=8
        )
        network = transformers.CLIPVisionModelWithProjection(config)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    folder = tmp_path / kind
    network.save_pretrained(folder)
    said = {"image_mean": IMAGENET[0], "image_std": IMAGENET[1], "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: research-only\n---\n# Card\n")
    return folder, network.eval()


@pytest.mark.parametrize("swiglu", [False, True])
@pytest.mark.parametrize("embedding", ["cls", "mean", "both"])
def test_dinov2_embeds_as_published(tmp_path: Path, embedding: str, swiglu: bool) -> None:
    folder, network = hugging_folder(tmp_path, "dinov2", swiglu)
    learner = imported(folder, Wishes(size=56, embedding=embedding, unit=False))
    with torch.no_grad():
        tokens = network(normalised(pixels(56), *IMAGENET).float()).last_hidden_state
    expected = {
        "cls": tokens[:, 0],
        "mean": tokens[:, 1:].mean(1),
        "both": torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1),
    }[embedding]
    torch.testing.assert_close(learner.features(pixels(56)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("embedding", ["cls", "projected"])
def test_clip_embeds_as_published(tmp_path: Path, embedding: str, size: int) -> None:
    folder, network = hugging_folder(tmp_path, "clip")
    learner = imported(folder, Wishes(size=size, embedding=embedding, unit=False))
    given = normalised(pixels(size), *IMAGENET).float()
    with torch.no_grad():
        found = network(given, interpolate_pos_encoding=True)
        plain = network.vision_model(given, interpolate_pos_encoding=True).pooler_output
    expected = found.image_embeds if embedding == "projected" else plain
    torch.testing.assert_close(learner.features(pixels(size)), expected, rtol=1e-4, atol=1e-5)


def test_the_vision_tower_of_a_whole_clip_is_taken(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra 'pretrained' is not installed")
    torch.manual_seed(0)
    tower = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    text = {**tower, "vocab_size": 20, "max_position_embeddings": 4}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=5)
    network = transformers.CLIPModel(config).eval()
    folder = tmp_path / "whole"
    network.save_pretrained(folder)
    wishes = Wishes(size=32, unit=False, mean=IMAGENET[0], std=IMAGENET[1])
    with torch.no_grad():
        expected = network.vision_model(normalised(pixels(32), *IMAGENET).float()).pooler_output
    learner = imported(folder, wishes)
    torch.testing.assert_close(learner.features(pixels(32)), expected, rtol=1e-4, atol=1e-5)


def test_a_missing_tensor_is_not_filled_with_random_numbers(tmp_path: Path) -> None:
    folder, network = hugging_folder(tmp_path, "dinov2")
    tensors = {n: v.clone() for n, v in network.state_dict().items() if n != "layernorm.weight"}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFileError, match=r"layernorm\.weight.*is missing"):
        import_encoder(folder, tmp_path / "o.safetensors", Wishes(size=56))


def test_a_tensor_without_a_place_is_refused(tmp_path: Path) -> None:
    folder, network = hugging_folder(tmp_path, "dinov2")
    tensors = {n: v.clone() for n, v in network.state_dict().items()} | {
        "embeddings.registers": torch.ones(4)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFileError, match=r"embeddings\.registers.*has no place"):
        import_encoder(folder, tmp_path / "o.safetensors", Wishes(size=56))


@pytest.mark.parametrize("kind", ["dinov2", "clip"])
def test_the_extra_is_named_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder, _ = hugging_folder(tmp_path, kind)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PlanError, match=r"pip install 'fewshot-workbench\[pretrained\]'"):
        import_encoder(folder, tmp_path / "o.safetensors", Wishes(size=56))


# --- all of them ---


def published(tmp_path: Path, kind: str) -> tuple[Path, int]:
    """A source of each kind, and a size that fits it."""
    if kind in ("dinov2", "clip"):
        return hugging_folder(tmp_path, kind)[0], 56 if kind == "dinov2" else 32
    file = tmp_path / f"{kind}.safetensors"
    save_file(resnet_tensors() if kind == "resnet" else timm_tensors(grid=4), file)
    return file, 32


KINDS = ("resnet", "timm", "dinov2", "clip")


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedding_has_unit_length_and_depends_on_its_image_only(tmp_path: Path, kind: str) -> None:
    source, size = published(tmp_path, kind)
    learner = imported(source, Wishes(size=size))
    images = pixels(size, 4)
    together = learner.features(images)
    alone = torch.cat([learner.features(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))


@pytest.mark.parametrize("kind", KINDS)
def test_layout_and_bfloat16_change_an_embedding_by_rounding_only(tmp_path: Path, kind: str) -> None:
    source, size = published(tmp_path, kind)
    network = imported(source, Wishes(size=size)).backbone
    images = Recipe(size=size).normalise(pixels(size))
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(network(images.contiguous()), expected, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(images).float()
    assert (F.cosine_similarity(rough, expected) > 0.995).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_neck_on_an_imported_encoder_starts_as_the_encoder(tmp_path: Path, kind: str) -> None:
    source, size = published(tmp_path, kind)
    plain = imported(source, Wishes(size=size))
    necked = create("prototypical", replace(plain.spec, neck=8), plain.recipe).eval()
    values = {f"trunk.{n}": v for n, v in plain.backbone.state_dict().items()}
    necked.backbone.load_state_dict({**necked.backbone.state_dict(), **values})
    torch.testing.assert_close(necked.features(pixels(size)), plain.features(pixels(size)))


@pytest.mark.parametrize("kind", KINDS)
def test_an_imported_encoder_adapts_and_reads_on_the_command_line(tmp_path: Path, kind: str) -> None:
    source, size = published(tmp_path, kind)
    weights, model = str(tmp_path / "w.safetensors"), str(tmp_path / "m.safetensors")
    support = class_folders(tmp_path / "support")

    def run(*arguments: str) -> str:
        found = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found.stdout

    said = run("import-encoder", str(source), "--out", weights, "--size", str(size), "--licence", "of mine")
    assert "Licence: of mine" in said
    run("adapt", str(support), "--out", model, "--weights", weights, "--no-estimate")
    asked = ("--weights", weights, "--format", "json", "--names")
    readings = json.loads(run("predict", model, str(support), *asked))
    right = [f"/{reading['label']}/" in f"/{reading['file']}" for reading in readings]
    assert len(right) == 12
    assert sum(right) == 12  # the support itself, by a linear probe in more dimensions than scans


@pytest.mark.parametrize("kind", ["resnet", "dinov2"])
def test_a_trained_neck_keeps_the_encoder_its_licence_and_what_it_has_seen(tmp_path: Path, kind: str) -> None:
    source, size = published(tmp_path, kind)[0], SIZE
    start = tmp_path / "start.safetensors"
    import_encoder(source, start, Wishes(size=size), licence="of mine", trained_on=["bloodmnist"])
    before = load_learner(start)
    values = {
        "name": "necked",
        "method": {"name": "prototypical"},
        "start": str(start),
        "backbone": {"name": before.record.backbone.name, "size": size, "neck": 8},
        "recipe": {"size": size},
        "augmentation": None,
        "data": {"procedural": {"images": 60}},
        "episodes": {"ways": 2, "shots": 1, "queries": 1},
        "batch": 1,
        "steps": 2,
        "checkpoint_every": 2,
        "precision": "float32",
    }
    plan, stripes = parse_plan(values, "test"), [striped_cohort()]
    after = load_learner(train(plan, tmp_path / "run", progress=False, conditions=stripes))
    assert after.record.licence == "of mine"
    assert after.record.conditions == ("stripes", "bloodmnist")
    assert after.record.backbone == replace(before.record.backbone, neck=8)
    kept = after.learner.backbone.state_dict()
    for name, value in before.learner.backbone.state_dict().items():
        # A run stores half precision.
        torch.testing.assert_close(kept[f"trunk.{name}"], value.half().to(value.dtype), rtol=0, atol=0)


# --- what is recorded and what is refused ---


def test_the_file_says_the_licence_and_what_the_encoder_has_seen(tmp_path: Path) -> None:
    folder, _ = hugging_folder(tmp_path, "dinov2")
    out = tmp_path / "o.safetensors"
    import_encoder(folder, out, Wishes(size=56), trained_on=["bloodmnist"])
    record = load_weights(out).record
    assert (record.licence, record.title, record.conditions) == ("research-only", "dinov2", ("bloodmnist",))
    assert record.origins


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("inside", [False, True])
def test_no_pickle_is_loaded(tmp_path: Path, suffix: str, inside: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / f"weights{suffix}"
    file.write_bytes(b"cbuiltins\nexec\n(S'raise AssertionError'\ntR.")  # would run if it were unpickled
    with pytest.raises(ModelFileError, match=rf"weights\{suffix}: is a pickle.*docs/pretrained\.md"):
        import_encoder(folder if inside else file, tmp_path / "o.safetensors")
    assert not (tmp_path / "o.safetensors").exists()


def test_a_wrong_file_is_refused_by_the_first_tensor_that_is_missing(tmp_path: Path) -> None:
    tensors = resnet_tensors()
    file, out = tmp_path / "f.safetensors", tmp_path / "o.safetensors"
    save_file({n: v for n, v in tensors.items() if n != "layer2.1.bn3.bias"}, file)
    with pytest.raises(ModelFileError, match=r"'layer2\.1\.bn3\.bias' is missing \(1 missing, 0 unknown\)"):
        import_encoder(file, out, Wishes(size=32))
    save_file({**tensors, "layer1.0.se.weight": torch.ones(1)}, file)
    with pytest.raises(ModelFileError, match=r"'layer1\.0\.se\.weight' has no place"):
        import_encoder(file, out, Wishes(size=32))
    save_file({n: v for n, v in tensors.items() if not n.endswith("conv3.weight")}, file)
    with pytest.raises(ModelFileError, match="no bottlenecks"):
        import_encoder(file, out, Wishes(size=32))
    save_file({"features.0.weight": torch.ones(1)}, file)
    with pytest.raises(ModelFileError, match=r"'conv1\.weight'.*'features\.0\.weight'"):
        import_encoder(file, out, Wishes(size=32))
    save_file({**tensors, "module.conv1.weight": tensors["conv1.weight"].clone()}, file)
    with pytest.raises(ModelFileError, match="two networks"):
        import_encoder(file, out, Wishes(size=32))
    assert not out.exists()


def test_a_folder_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "dinov2"}))
    with pytest.raises(ModelFileError, match=r"no \.safetensors file"):
        import_encoder(folder, tmp_path / "o.safetensors")
    save_file({"x": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(ModelFileError, match=r"preprocessor_config\.json.*--mean"):
        import_encoder(folder, tmp_path / "o.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelFileError, match="'bert' is not known"):
        import_encoder(folder, tmp_path / "o.safetensors")


def test_sizes_that_cut_a_patch_and_recipes_that_normalise_otherwise_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "vit.safetensors"
    save_file(timm_tensors(grid=4), file)
    with pytest.raises(PlanError, match=r"multiple of 8, not 36\. Take 32"):
        import_encoder(file, tmp_path / "o.safetensors", Wishes(size=36))
    spec = imported(file, Wishes(size=32)).spec
    with pytest.raises(PlanError, match="expects images normalised"):
        create("prototypical", spec, Recipe(size=32, mean=0.3))
    with pytest.raises(PlanError, match="import-encoder"):
        build(BackboneSpec("timm-vit", size=32))
