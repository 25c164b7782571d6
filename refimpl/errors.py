"""What goes wrong with a net: every refusal is one line that says what, where, and what to do."""

from __future__ import annotations

__all__ = ["LayerError", "NetError", "PrototxtError"]


class NetError(Exception):
    """A net that is refused, as Caffe would refuse it with a failed check.

    `stage` is "parse", "setup", "forward" or "backward"; `layer` the name of the layer concerned, if one is;
    `hint` says what to do, where the message alone does not.
    """

    def __init__(self, message: str, stage: str, layer: str | None = None, hint: str = "") -> None:
        super().__init__(message, stage, layer, hint)
        self.message = message
        self.stage = stage
        self.layer = layer
        self.hint = hint

    def __str__(self) -> str:
        where = [self.stage, *self._place()]
        if self.layer is not None:
            where.append(f'layer "{self.layer}"')
        return _one_line(f"{', '.join(where)}: {self.message}", self.hint)

    def _place(self) -> list[str]:
        return []


class PrototxtError(NetError):
    """A text that is not a net definition; `line` and `column` count from 1."""

    def __init__(self, message: str, line: int, column: int, hint: str = "", layer: str | None = None) -> None:
        super().__init__(message, "parse", layer, hint)
        self.args = (message, line, column, hint, layer)
        self.line = line
        self.column = column

    def _place(self) -> list[str]:
        return [f"line {self.line}, column {self.column}"]


class LayerError(Exception):
    """Raised by a layer that refuses its parameters or blobs; the net adds the stage and the layer's name."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return _one_line(self.message, self.hint)


def _one_line(message: str, hint: str) -> str:
    return " ".join((f"{message}; {hint}" if hint else message).split())
