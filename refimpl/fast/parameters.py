"""Parameters: what the function of a loss takes, by what it is for; and functions that follow from another's."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

__all__ = ["Parameters", "gradient_alone", "losses_in", "with_parameters"]

OUTPUTS = ("out", "out_a", "out_b")
KEPT = "prob"
OTHERS = {"top_diff", KEPT, "threads", "loss", *OUTPUTS}


def losses_in(*folders: str) -> list[str]:
    """The modules of a package whose names end in ``_loss``: each has a function of that name, and ``backward``."""
    return [module.name for module in pkgutil.iter_modules(folders) if module.name.endswith("_loss")]


@dataclass(frozen=True)
class Parameters:
    """Names: `inputs` are arrays in the order of a layer's bottoms, of which the last ones may be `optional`, `options`
    the layer's own parameters, `outputs` receive gradients. `kept` is ``prob`` where there is one: it receives the
    softmax that ``backward`` starts from. `threads`: the caller may say how many."""

    inputs: tuple[str, ...]
    optional: tuple[str, ...]
    options: tuple[str, ...]
    outputs: tuple[str, ...]
    kept: tuple[str, ...]
    threads: bool

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Parameters:
        """Those of a function of `refimpl.fast` or of its counterpart on a GPU."""
        known = inspect.signature(function).parameters
        keywords = [name for name, one in known.items() if one.kind is Parameter.KEYWORD_ONLY]
        return cls(
            inputs=tuple(name for name in known if name not in keywords),
            optional=tuple(name for name in known if name not in keywords and known[name].default is None),
            options=tuple(name for name in keywords if name not in OTHERS),
            outputs=tuple(name for name in keywords if name in OUTPUTS),
            kept=tuple(name for name in keywords if name == KEPT),
            threads="threads" in keywords,
        )

    def arrays(self, positional: Sequence[Any], named: dict[str, Any]) -> list[Any]:
        """The inputs of a call, whose names are taken out of `named`. Raises TypeError where one is missing."""
        rest = self.inputs[len(positional) :]
        if len(positional) > len(self.inputs) or not named.keys() >= set(rest) - set(self.optional):
            raise TypeError(f"give {', '.join(self.inputs)}, in this order or by name")
        return [*positional, *(named.pop(name, None) for name in rest)]


def with_parameters(
    function: Callable[..., Any], parameters: list[Parameter], returns: str, document: str, module: str, name: str
) -> Callable[..., Any]:
    """The function, which takes anything, as help and ``inspect`` show it."""
    function.__name__ = function.__qualname__ = name
    function.__module__, function.__doc__ = module, document
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    return function


def gradient_alone(function: Callable[..., float]) -> Callable[..., None]:
    """``backward`` of a loss whose gradients start from its inputs: the same pass, in which the loss costs nothing.

    It takes what the function takes, but `top_diff`, and an `out` where that is the only output, must be given.
    """
    must = {"top_diff", "out"}
    parameters = [
        one.replace(default=Parameter.empty) if name in must else one
        for name, one in inspect.signature(function).parameters.items()
    ]
    needed = must & {one.name for one in parameters}

    def backward(*inputs: Any, **given: Any) -> None:
        if not needed <= given.keys():
            raise TypeError(f"backward() needs {' and '.join(sorted(needed - given.keys()))}")
        function(*inputs, **given)

    document = f"The gradients alone; arguments as for `{function.__name__}`."
    return with_parameters(backward, parameters, "None", document, function.__module__, "backward")
