"""Arithmetic of a gradient step, suited to the hardware."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch as th


def for_policy(policy_kwargs: Mapping[str, Any], accelerate: bool) -> dict[str, Any]:
    """Return a `DuelingDQNPolicy`'s arguments with what suits ``accelerate``.

    What the user has said otherwise stays.
    """
    optimizer = policy_kwargs.get("optimizer_class", th.optim.Adam)
    optimizer_kwargs = dict(policy_kwargs.get("optimizer_kwargs") or {})
    if accelerate and optimizer in (th.optim.Adam, th.optim.AdamW):
        optimizer_kwargs.setdefault("fused", True)
    chosen: dict[str, Any] = {"accelerate": accelerate, **policy_kwargs}
    if optimizer_kwargs:
        chosen["optimizer_kwargs"] = optimizer_kwargs
    return chosen


def autocast(device: th.device) -> AbstractContextManager[Any]:
    """Return a context that computes in bfloat16, where that is faster."""
    return th.autocast(device.type, th.bfloat16) if computes_bfloat16(device) else nullcontext()


def computes_bfloat16(device: th.device) -> bool:
    """Return whether the device multiplies bfloat16 numbers itself rather than by float32's."""
    if device.type == "cuda":
        # Older ones emulate it, which torch counts as support.
        return th.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(th.cpu, "get_capabilities"):
        return False
    capabilities = th.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def clip_gradients(parameters: Iterable[th.nn.Parameter], max_norm: float) -> float:
    """Clip gradients as SB3 does; return their norm before."""
    with_gradient = [p for p in parameters if p.grad is not None]
    norm = th.nn.utils.get_total_norm([p.grad for p in with_gradient if p.grad is not None])
    # SB3 multiplies all gradients even where that changes nothing.
    if norm > max_norm:
        th.nn.utils.clip_grads_with_norm_(with_gradient, max_norm, norm)
    return float(norm)
