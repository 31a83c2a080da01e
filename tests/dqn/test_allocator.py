"""Memory that is kept."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import torch as th
from sb3_mario.dqn.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
th.set_num_threads(1)

def work():
    pieces = [th.ones(2**18) for _ in range(20)]  # of 1 MiB
    del pieces

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    faults = {
        what: int(
            subprocess.run(
                [sys.executable, "-c", CODE, what], capture_output=True, text=True, check=True
            ).stdout
        )
        for what in ("keep", "give back")
    }
    assert faults["keep"] < faults["give back"] / 10
