"""What to tell someone who wrote a field that its message does not have."""

from __future__ import annotations

from difflib import get_close_matches

from refimpl.errors import PrototxtError
from refimpl.messages import LayerParameter, NetParameter, V1LayerParameter
from refimpl.schema import Message
from refimpl.textformat import Field

__all__ = ["unknown_field"]

# The fields of SolverParameter that a solver file can hardly do without, and those that name its net.
_SOLVER_FIELDS = frozenset(
    {"net", "train_net", "test_net", "base_lr", "lr_policy", "max_iter", "test_iter", "solver_mode", "solver_type"}
)
_V1_FIELDS = {"blobs_lr": "param { lr_mult: VALUE }", "weight_decay": "param { decay_mult: VALUE }"}


def unknown_field(cls: type[Message], item: Field, where: str) -> PrototxtError:
    """The error for field `item` of a message of class `cls`, which is the value of a field named `where`."""
    if cls is NetParameter and item.name in _SOLVER_FIELDS:
        message = f"this is a solver definition: {item.name} belongs to SolverParameter"
        return PrototxtError(message, item.line, item.column, "give the net that the solver names")
    return PrototxtError(f'{where} has no field "{item.name}"', item.line, item.column, _advice(cls, item.name))


def _advice(cls: type[Message], name: str) -> str:
    """Where the field belongs if a block one level down has it, else the nearest name, else all names."""
    if cls is LayerParameter and name in _V1_FIELDS:
        return f"write {_V1_FIELDS[name]}"
    owners = [
        key
        for key, field in cls.schema.items()
        if field.message and name in field.message.schema and field.message is not V1LayerParameter
    ]
    if len(owners) > 3:
        return f"it belongs in a block such as {owners[0]} {{ }}"
    if owners:
        return f"it belongs in {' or '.join(f'{owner} {{ }}' for owner in owners)}"
    if near := get_close_matches(name.lower(), cls.schema, 1):
        return f"did you mean {near[0]}?"
    return f"it has {', '.join(key for key in cls.schema if key != 'extra' and not key.endswith('_param'))}"
