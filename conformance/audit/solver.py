"""SolverParameter: those of its fields that say which net is trained, and how gradients are gathered."""

from __future__ import annotations

from refimpl.messages import NetParameter, NetState
from refimpl.schema import Message, int32, message, repeated, string

__all__ = ["FIELDS", "NETS", "SolverParameter"]

NETS = ("train_net_param", "train_net", "net_param", "net")
"""The ways to name the net to train, of which a solver has one."""

FIELDS = frozenset(
    {
        "base_lr",
        "lr_policy",
        "max_iter",
        "solver_mode",
        "solver_type",
        *NETS,
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
    test_net_param: tuple[NetParameter, ...] = repeated(message(NetParameter))
    test_state: tuple[NetState, ...] = repeated(message(NetState))
    iter_size: int = int32(1)
