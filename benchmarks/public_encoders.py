"""Time per image of public encoders on one core, with random weights (weights do not change the time).

    OMP_NUM_THREADS=1 python -m benchmarks.public_encoders

Prints a row for each: numbers per image, size of its weights in float32, and the median over repeats of the
processor time of one image in batches of eight at 224 px, from normalised pixels to the embedding.
"""

from __future__ import annotations

import statistics
import time

import torch

from workbench.backbones import BackboneSpec, build
from workbench.backbones.pretrained import Description, ResNetDescription, ViTDescription, to_config
from workbench.backbones.pretrained_transformers import Dinov2Description

HALF = (0.5, 0.5, 0.5)
BATCH, REPEATS = 8, 3
ENCODERS: tuple[tuple[str, str, Description], ...] = (
    ("ResNet-50 (RadImageNet)", "resnet50", ResNetDescription(mean=HALF, std=HALF)),
    (
        "ViT-S/14 (DINOv2 small)",
        "dinov2",
        Dinov2Description(mean=HALF, std=HALF, hidden_size=384, num_attention_heads=6, image_size=518),
    ),
    ("ViT-B/14 (RAD-DINO)", "dinov2", Dinov2Description(mean=HALF, std=HALF, image_size=518)),
    ("ViT-B/16 (BiomedCLIP)", "timm-vit", ViTDescription(mean=HALF, std=HALF)),
)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    images = torch.randn(BATCH, 3, 224, 224).to(memory_format=torch.channels_last)
    print("| encoder | numbers per image | MB | CPU ms per image |\n|---|---|---|---|")
    for title, name, description in ENCODERS:
        network = build(BackboneSpec(name, size=224, config=to_config(description))).eval()
        megabytes = sum(p.numel() for p in network.parameters()) * 4 / 1e6
        times = []
        with torch.inference_mode():
            network(images)
            for _ in range(REPEATS):
                start = time.process_time()
                network(images)
                times.append((time.process_time() - start) / BATCH)
        print(f"| {title} | {network.dim} | {megabytes:.0f} | {1000 * statistics.median(times):.0f} |")


if __name__ == "__main__":
    main()
