"""SolverParameter: those of its fields that say which net is trained, and how gradients are gathered."""

from __future__ import annotations

from refimpl.messages import NetParameter, NetState
from refimpl.schema import Message, int32, message, repeated, string

__all__ = ["FIELDS", "SolverParameter"]

FIELDS = frozenset(
    {
        "base_lr",
        "lr_policy",
        "max_iter",
        "net",
        "net_param",
        "solver_mode",
        "solver_type",
        "train_net",
        "train_net_param",
    }
)
"""Of these a solver file has at least one, and a net none."""


class SolverParameter(Message):
    """``caffe.proto``, SolverParameter."""

    net: str = string()
    net_param: NetParameter = message(NetParameter)
    train_net: str = string()
    train_net_param: NetParameter = message(NetParameter)
    train_state: NetState = message(NetState)
    test_net: tuple[str, ...] = repeated(string())
    test_state: tuple[NetState, ...] = repeated(message(NetState))
    iter_size: int = int32(1)
