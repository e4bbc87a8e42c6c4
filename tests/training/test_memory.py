from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# In a process of its own: the setting cannot be read back, only its effect seen.
_PROBE = """
import resource, torch
from workbench.training.memory import keep_freed_memory
assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    return float(torch.zeros(16 << 20).sum())  # 64 MB, beyond glibc's own limit
for _ in range(10):  # aligned blocks need a few rounds until the freed ones fit
    use()
before = faults()
for _ in range(3):
    use()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_a_large_block_is_not_mapped_anew_for_every_step() -> None:
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=True)
    pages = (64 << 20) // 4096
    assert int(done.stdout) < pages  # three blocks of fresh pages would be three times as many
