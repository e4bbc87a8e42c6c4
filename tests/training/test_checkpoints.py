"""Checkpoints hold everything Lightning gives, as data only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.errors import ModelFileError
from workbench.training.checkpoints import SafetensorsCheckpointIO, pack, unpack


def test_nested_state_survives_exactly(tmp_path: Path) -> None:
    state = {
        "epoch": 3,
        "lr": 0.1,
        "inf": float("-inf"),
        "none": None,
        "flag": True,
        "betas": (0.9, 0.999),
        "state": {0: {"step": torch.tensor(5.0), "m": torch.randn(2, 3)}, 1: {}},
        "list": ["a", [1, 2.5]],
        "where": "checkpoints/best",
    }
    io = SafetensorsCheckpointIO()
    io.save_checkpoint(state, tmp_path / "c.safetensors")
    back = io.load_checkpoint(tmp_path / "c.safetensors")
    assert torch.equal(back["state"][0]["m"], state["state"][0]["m"])  # type: ignore[index]
    assert torch.equal(back["state"][0]["step"], torch.tensor(5.0))
    for key in ("epoch", "lr", "inf", "none", "flag", "betas", "list", "where"):
        assert back[key] == state[key]
        assert type(back[key]) is type(state[key])


def test_what_cannot_be_held_is_refused_rather_than_pickled() -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        pack({"f": object()}, {})
    assert unpack(pack([1, (2,)], {}), {}) == [1, (2,)]


def test_a_pickled_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.ckpt"
    torch.save({"epoch": 1}, path)
    with pytest.raises(ModelFileError, match="damaged"):
        SafetensorsCheckpointIO().load_checkpoint(path)
