"""The learned policy on disk: safetensors with the plan that made it; never a pickle."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import ModelFileError
from workbench.learners.files import read_tensors, write_tensors
from workbench.querying.network import ScoringNetwork

SHIPPED = Path(__file__).parent / "policy.safetensors"
KIND = "query-policy"


def save_policy(network: ScoringNetwork, plan: str, path: Path) -> None:
    """Write a policy with its plan (YAML text), whole or not at all."""
    meta = {"kind": KIND, "format": 1, "width": network.width, "plan": plan}
    write_tensors(path, network.state_dict(), meta)


def load_policy(path: Path = SHIPPED) -> tuple[ScoringNetwork, str]:
    """A policy and the plan that made it.

    Raises:
        ModelFileError: the file is missing, damaged, of another kind or of another version.
    """
    tensors, meta = read_tensors(path, KIND)
    try:
        network = ScoringNetwork(int(meta["width"]))
        network.load_state_dict(tensors)
        plan = str(meta["plan"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path.name}: does not fit this version. Train the policy again.") from error
    return network.eval(), plan
