"""What callers pass, made into flat arrays on the device: NumPy's arrays are copied there, a device's are used in
place.

A device array is anything with a ``__cuda_array_interface__``: Numba's, CuPy's, a CUDA tensor of PyTorch. What is wrong
with an argument is told as the CPU path tells it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.fast.cpu import arguments as host
from refimpl.fast.cuda.device import Device

__all__ = ["Input", "Loss", "Output", "floats", "integers", "matrix_of", "weight"]


@dataclass(frozen=True)
class Input:
    """An argument on the device: flat, with the shape it had."""

    array: Any
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @property
    def size(self) -> int:
        return int(self.array.size)

    @property
    def ndim(self) -> int:
        return len(self.shape)


def floats(device: Device, given: Any, name: str, like: Any = None) -> Input:
    """A float32 or float64 array with at least one entry.

    Raises TypeError for another dtype (or one other than that of `like`), ValueError for an empty array and for a
    device array that is not C-contiguous.
    """
    made = _adopted(device, given, name) if _on_device(given) is not None else None
    dtype = np.asarray(given).dtype if made is None else made.dtype
    if dtype.newbyteorder("=") not in (host.SINGLE, host.DOUBLE):
        raise TypeError(f"{name} has dtype {dtype}: give {host.SINGLE} or {host.DOUBLE}")
    if made is None:
        array = host.floats(given, name, like)
        return Input(device.copy(array), array.shape)
    if like is not None and made.dtype != like.dtype:
        raise TypeError(f"{name} has dtype {made.dtype}: give it the dtype of the first input, {like.dtype}")
    if made.size == 0:
        raise ValueError(f"{name} is empty (shape {made.shape}): a batch of 0 has no loss")
    return made


def integers(device: Device, given: Any, name: str, like: Any) -> Input:
    """Labels of the dtype of `like`, int32 or int64. Raises TypeError for what is no number, and for a device array of
    another dtype."""
    if _on_device(given) is None:
        labels = host.integers(given, name, like)
        return Input(device.copy(labels), np.shape(given))
    made = _adopted(device, given, name)
    if made.dtype not in (like.dtype, np.int32, np.int64):
        raise TypeError(f"{name} has dtype {made.dtype}: on the device give {like.dtype}, int32 or int64")
    return made


def matrix_of(device: Device, given: Any, classes: int, like: Input) -> Input:
    """An infogain matrix. Raises as `floats`, and ValueError for another number of entries."""
    made = floats(device, given, "matrix", like)
    if made.size != classes**2:
        raise ValueError(
            f"matrix has {made.size} entries (shape {made.shape}) for {classes} classes: give {classes} x {classes}"
        )
    return made


def weight(device: Device, top_diff: Any, like: Input) -> Any:
    """The top's diff as an array of one entry on the device, where kernels read it: a number is brought there, an array
    that is there already may still be written by what was launched before."""
    if _on_device(top_diff) is None:
        number = np.asarray(top_diff, like.dtype)
        made = Input(device.copy(number.reshape(-1)), number.shape)
    else:
        made = _adopted(device, top_diff, "top_diff")
        if made.dtype != like.dtype:
            raise TypeError(f"top_diff has dtype {made.dtype}: give it the dtype of the first input, {like.dtype}")
    if made.size != 1:
        raise ValueError(f"top_diff has shape {made.shape}: give one number")
    return made.array


def _on_device(given: Any) -> dict[str, Any] | None:
    interface: dict[str, Any] | None = getattr(given, "__cuda_array_interface__", None)
    return interface


def _adopted(device: Device, given: Any, name: str) -> Input:
    interface = _on_device(given)
    assert interface is not None
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    strides = interface.get("strides")
    if strides is not None and tuple(strides) != _c_strides(shape, dtype.itemsize) and 0 not in shape:
        raise ValueError(f"{name} is a device array with strides {tuple(strides)}: give a C-contiguous one")
    if interface.get("mask") is not None:
        raise ValueError(f"{name} is a masked device array: give one without a mask")
    if not dtype.isnative:
        raise TypeError(f"{name} has dtype {dtype}: give native byte order")
    return Input(device.adopt(given), shape)


def _c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides: tuple[int, ...] = ()
    for length in reversed(shape):
        strides = (itemsize, *strides)
        itemsize *= length
    return strides


class Output:
    """An array that a kernel writes, or its absence: then `array` is empty.

    Raises TypeError for what is no array, ValueError for one of another dtype or shape than `like` has, a read-only
    one, and a device array that is not C-contiguous. With `keep` the kernel finds what the caller had in it.
    """

    def __init__(
        self,
        device: Device,
        given: Any,
        name: str,
        like: Input,
        shape: tuple[int, ...] | None = None,
        keep: bool = False,
    ) -> None:
        self._device, self._given = device, given
        shape = like.shape if shape is None else shape
        if given is None:
            self.array = device.empty(0, like.dtype)
            return
        interface = _on_device(given)
        if interface is None and not isinstance(given, np.ndarray):
            raise TypeError(f"{name} is a {type(given).__name__}: give a NumPy or a device array")
        told = given.__array_interface__ if interface is None else interface
        dtype, got, (_, read_only) = np.dtype(told["typestr"]), tuple(told["shape"]), told["data"]
        if dtype != like.dtype or got != shape:
            raise ValueError(f"{name} is {dtype} of shape {got}: it should be {like.dtype} of shape {shape}")
        if read_only:
            raise ValueError(f"{name} is read-only: give an array that can be written")
        if interface is None:
            self.array = device.copy(given) if keep else device.empty(given.size, like.dtype)
        else:
            self.array = _adopted(device, given, name).array

    @property
    def wanted(self) -> bool:
        return self._given is not None

    def finish(self) -> NDArray[Any] | None:
        """Bring the result to where the caller wants it; it is returned if that is on the host."""
        if self._given is None or _on_device(self._given) is not None:
            return None
        self._given[...] = self._device.fetch(self.array).reshape(self._given.shape)
        host_array: NDArray[Any] = self._given
        return host_array


class Loss:
    """Where the loss goes: to an array of one entry that the caller gave, otherwise to the host as a number."""

    def __init__(self, device: Device, given: Any, like: Input) -> None:
        shape = (_on_device(given) or {"shape": np.shape(given)})["shape"]
        self._device, self._output = device, Output(device, given, "loss", like, tuple(shape))
        self.array = self._output.array if self._output.wanted else device.empty(1, like.dtype)
        if self.array.size != 1:
            raise ValueError(f"loss has {self.array.size} entries: give an array of one")

    def value(self) -> float | None:
        """The number; None, without waiting for the device, if it goes to an array there."""
        if not self._output.wanted:
            return float(self._device.fetch(self.array)[0])
        self._output.finish()
        return None
