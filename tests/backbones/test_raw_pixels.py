from __future__ import annotations

import numpy as np
import torch

from workbench.backbones import BackboneSpec, build


def test_raw_pixels_are_block_means() -> None:
    images = torch.rand(2, 3, 64, 64)
    found = build(BackboneSpec("raw-pixels"))(images)
    blocks = images.numpy().reshape(2, 3, 16, 4, 16, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(found.numpy(), blocks.reshape(2, -1), atol=1e-6)


def test_raw_pixels_have_nothing_to_learn_and_take_any_size() -> None:
    network = build(BackboneSpec("raw-pixels", channels=1, size=28))
    assert not list(network.parameters())
    assert network(torch.zeros(1, 1, 28, 28)).shape == (1, network.dim) == (1, 256)
