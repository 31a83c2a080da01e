"""`sb3_mario.dqn.arithmetic`: faster where the hardware can, the same where it matters."""

from __future__ import annotations

import copy

import pytest
import torch as th

from sb3_mario.dqn import arithmetic


def network(scale: float) -> th.nn.Module:
    """One with gradients, and a parameter without."""
    th.manual_seed(0)
    made = th.nn.Sequential(th.nn.Linear(5, 4), th.nn.Linear(4, 2))
    (made(th.ones(3, 5)).sum() * scale).backward()
    made.append(th.nn.Linear(2, 1))
    return made


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_gradients_are_clipped_as_torch_clips_them(scale: float) -> None:
    ours, theirs = network(scale), network(scale)
    norm = arithmetic.clip_gradients(ours.parameters(), 10)
    assert norm == pytest.approx(float(th.nn.utils.clip_grad_norm_(theirs.parameters(), 10)))
    assert (norm > 10) == (scale > 1)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (mine.grad is None) == (other.grad is None)
        if mine.grad is not None and other.grad is not None:
            th.testing.assert_close(mine.grad, other.grad)


def test_the_fused_optimizer_is_chosen_where_nobody_said_otherwise() -> None:
    chosen = arithmetic.for_policy({}, True)
    assert chosen == {"accelerate": True, "optimizer_kwargs": {"fused": True}}
    assert arithmetic.for_policy({}, False) == {"accelerate": False}
    own = {"accelerate": False, "optimizer_kwargs": {"fused": False, "eps": 1e-3}}
    before = copy.deepcopy(own)
    assert arithmetic.for_policy(own, True) == own == before
    other = {"optimizer_class": th.optim.RMSprop}
    assert arithmetic.for_policy(other, True) == other | {"accelerate": True}


@pytest.mark.parametrize(("capability", "computes"), [((7, 5), False), ((8, 0), True)])
def test_a_gpu_that_only_emulates_bfloat16_does_not_compute_with_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], computes: bool
) -> None:
    monkeypatch.setattr(th.cuda, "get_device_capability", lambda device: capability)
    assert arithmetic.computes_bfloat16(th.device("cuda")) == computes


@pytest.mark.parametrize("capabilities", [{}, {"avx512_bf16": True}, {"amx_bf16": True}])
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool]
) -> None:
    monkeypatch.setattr(th.cpu, "get_capabilities", lambda: capabilities)
    with arithmetic.autocast(th.device("cpu")):
        product = th.ones(2, 2) @ th.ones(2, 2)
    assert product.dtype == (th.bfloat16 if capabilities else th.float32)
