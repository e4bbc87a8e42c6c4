"""Training checkpoints as safetensors.

Lightning pickles its checkpoints, and loading a pickle runs what is inside. Here tensors go into
safetensors and everything else (loop counters, optimiser settings) into JSON, so that a checkpoint is
data only. Files appear whole or not at all, which is what makes a run killable at any moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from torch import Tensor

from workbench.errors import ModelFileError
from workbench.learners.files import read_tensors, write_tensors

_TENSOR, _TUPLE, _PAIRS, _FLOAT = "__tensor__", "__tuple__", "__pairs__", "__float__"


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Plain JSON values of nested checkpoint state; tensors are moved into `tensors`.

    Raises:
        TypeError: for a type that JSON and safetensors cannot hold.
    """
    if isinstance(value, Tensor):
        key = f"t{len(tensors)}"
        tensors[key] = value
        return {_TENSOR: key}
    if isinstance(value, dict):
        return {_PAIRS: [[pack(k, tensors), pack(v, tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [pack(v, tensors) for v in value]}
    if isinstance(value, list):
        return [pack(v, tensors) for v in value]
    if isinstance(value, float):
        return {_FLOAT: value.hex()}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverse of `pack`."""
    if isinstance(value, list):
        return [unpack(v, tensors) for v in value]
    if isinstance(value, dict):
        ((tag, content),) = value.items()
        if tag == _TENSOR:
            return tensors[content]
        if tag == _PAIRS:
            return {unpack(k, tensors): unpack(v, tensors) for k, v in content}
        if tag == _TUPLE:
            return tuple(unpack(v, tensors) for v in content)
        return float.fromhex(content)
    return value


class SafetensorsCheckpointIO(CheckpointIO):
    """Lightning's plug-in for the format above."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write atomically."""
        tensors: dict[str, Tensor] = {}
        state = pack(checkpoint, tensors)
        write_tensors(Path(path), tensors, {"kind": "checkpoint", "format": 1, "state": state})

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read back; raises `ModelFileError` for anything else than a checkpoint."""
        tensors, meta = read_tensors(Path(path), "checkpoint")
        state = unpack(meta["state"], tensors)
        if not isinstance(state, dict):
            raise ModelFileError(f"{Path(path).name}: is not a checkpoint.")
        return state

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint that is no longer among the best."""
        Path(path).unlink(missing_ok=True)


def native_bfloat16() -> bool:
    """Whether this processor (or GPU) computes bfloat16 natively."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _has_flag("avx512_bf16", "amx_bf16", "bf16")


def _has_flag(*names: str) -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    line = next((x for x in text.splitlines() if x.startswith(("flags", "Features"))), "")
    return not set(names).isdisjoint(line.split())
