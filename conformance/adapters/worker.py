"""The worker: drives a pycaffe in the interpreter it was built for, and speaks the protocol (docs/protocol.md).

One file, standard library and numpy only, Python 3.6 or newer, because it runs inside somebody else's interpreter::

    /path/to/python3.6 worker.py [--gpu N]

Caffe answers a failed check with ``abort()`` and takes seconds to import, so on CPU every case runs in a fork of a
process that has only imported it: the case's death costs the case. CUDA does not survive a fork, so ``--gpu`` runs
cases in this process, and the harness reads the refusal off its remains.
"""
# ruff: noqa: B905, UP006, UP035, UP045  (this file has to run on Python 3.6)

import argparse
import base64
import collections
import contextlib
import ctypes
import importlib.abc
import importlib.machinery
import json
import os
import platform
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import types
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np

PROTOCOL = 2
TAIL = 1 << 16  # bytes of a child's standard error that are kept
PR_SET_PDEATHSIG = 1  # linux/prctl.h

Json = Dict[str, Any]
Announce = Callable[[str], None]


# arrays


def encode(array: "np.ndarray[Any, Any]") -> Json:
    """An array as dtype, shape and base64 of its little-endian bytes in row-major order."""
    raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": base64.b64encode(raw).decode("ascii")}


def decode(message: Json) -> "np.ndarray[Any, Any]":
    """The array of either JSON form; a plain list's "NaN", "Infinity" and "-Infinity" are numbers too."""
    if "base64" in message:
        dtype = np.dtype(message["dtype"]).newbyteorder("<")
        flat = np.frombuffer(base64.b64decode(message["base64"]), dtype=dtype)
    else:
        flat = np.array([float(entry) for entry in message["data"]], dtype=np.float64)
    array: np.ndarray[Any, Any] = flat.reshape(message["shape"])
    return array


def number(value: float) -> Any:
    """A float as JSON has it: not finite as "NaN", "Infinity", "-Infinity"."""
    value = float(value)
    if value != value:
        return "NaN"
    return value if abs(value) != float("inf") else "Infinity" if value > 0 else "-Infinity"


# what a dying Caffe said

GLOG = re.compile(r"^([IWEF])\d{4,8} \d\d:\d\d:\d\d\.\d+ +\d+ ([^\s\]]+:\d+\] .*)$")


def fatal_text(stderr: str) -> Optional[str]:
    """The text of the last fatal glog message, as in "file.cpp:47] Check failed: ...", with its continuation lines.

    Without one, the last line that holds "Check failed" (a Caffe built without glog); without that, None.
    """
    found: Optional[List[str]] = None
    inside = False
    for line in stderr.splitlines():
        header = GLOG.match(line)
        if header:
            inside = header.group(1) == "F"
            if inside:
                found = [header.group(2)]
        elif line.startswith("*** Check failure stack trace"):
            inside = False
        elif inside and found is not None:
            found.append(line)
    if found is None:
        found = [line for line in stderr.splitlines() if "Check failed" in line][-1:]
    return "\n".join(found).strip() or None


def import_error(message: str, stderr: str) -> str:
    """The refusal's message, or what Python printed where pycaffe printed an error and kept none: a Python layer's
    module that cannot be imported, a class that it lacks."""
    if not message.startswith("SystemError: <Boost.Python"):
        return message
    printed = [line for line in stderr.splitlines() if re.match(r"[A-Za-z_][\w.]*(Error|Exception)\b", line)]
    return printed[-1] if printed else message


def signal_name(code: int) -> str:
    """SIGSEGV for 11."""
    try:
        return signal.Signals(code).name
    except ValueError:
        return f"signal {code}"


# finding Caffe


class Stub(types.ModuleType):
    """A module whose every name can be imported and none called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_args: Any, **_keywords: Any) -> None:
            raise NotImplementedError(f"{self.__name__} is not installed; the worker put a stub in its place")

        return absent


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers for skimage and scipy where they are absent; last on sys.meta_path, so that real ones win.

    pycaffe imports them for reading and scaling images, which no loss layer does. Nothing is put into a real one: scipy
    looks for modules that a build may lack, and goes on without them.
    """

    def find_spec(self, fullname: str, _path: Any = None, _target: Any = None) -> Any:
        top = fullname.split(".")[0]
        if top not in ("skimage", "scipy") or (top != fullname and not isinstance(sys.modules.get(top), Stub)):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> Stub:
        return Stub(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to execute."""


def without_strays(path: Sequence[str]) -> List[str]:
    """``sys.path`` without this file's folder, and without the working directory unless a compiled pycaffe is in it.

    People stand in the folder that holds their Caffe checkout, named caffe, when they type the command.
    """
    here, home = os.path.realpath(os.getcwd()), os.path.dirname(os.path.realpath(__file__))

    def stays(entry: str) -> bool:
        real = os.path.realpath(entry or ".")
        if real != here:
            return real != home
        package = os.path.join(real, "caffe")
        return os.path.isdir(package) and any(name.startswith("_caffe.") for name in os.listdir(package))

    return [entry for entry in path if stays(entry)]


def import_caffe() -> Any:
    """The interpreter's own pycaffe; ends the process with one line on stderr where there is none."""
    whole = list(sys.path)
    sys.path[:] = without_strays(whole)
    sys.meta_path.append(StubFinder())
    os.environ.setdefault("GLOG_minloglevel", "1")  # one INFO line per blob and layer of every net is a flood
    try:
        import caffe  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        sys.exit(f"no usable caffe in {sys.executable} (Python {platform.python_version()}): {error}")
    if not hasattr(caffe, "Net"):
        places = getattr(caffe, "__file__", None) or list(getattr(caffe, "__path__", []))
        sys.exit(f"{sys.executable} imports a caffe that is not pycaffe (it has no Net): {places}")
    sys.path[:] = where_layers_are(whole)
    return caffe


def where_layers_are(path: Sequence[str]) -> List[str]:
    """``sys.path`` as a script in the working directory has it: that folder first, PYTHONPATH whole, without ours.

    Caffe is imported by now, so that a checkout of it in the working directory hides nothing.
    """
    home = os.path.dirname(os.path.realpath(__file__))
    return [os.getcwd(), *(entry for entry in path if os.path.realpath(entry or ".") != home)]


def describe(caffe: Any, gpu: Optional[int], protocol: int = PROTOCOL) -> Json:
    """What the harness asks for first; an older harness is answered in its own version."""
    return {
        "protocol": min(protocol, PROTOCOL),
        "name": "pycaffe",
        "version": str(getattr(caffe, "__version__", "unknown")),
        "language": "C++",
        "capability": "net",
        "layers": sorted(caffe.layer_type_list()) if hasattr(caffe, "layer_type_list") else [],
        "dtypes": ["float32"],  # pycaffe wraps Net<float> and nothing else
        "devices": ["cpu" if gpu is None else f"gpu:{gpu}"],
        "dialect": None,
        "environment": {
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "executable": sys.executable,
            "numpy": np.__version__,
            "caffe": os.path.dirname(os.path.abspath(caffe.__file__)),
            "platform": platform.platform(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
        },
    }


# one case


class Refused(Exception):
    """Caffe said no by an exception; an abort() leaves no time for one."""

    def __init__(self, stage: str, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.stage = stage


class CaffeNet:
    """A case's net in a Caffe, taken through its passes; every stage is announced before it is entered."""

    def __init__(self, caffe: Any, case: Json, announce: Announce) -> None:
        self.caffe, self.case, self.announce = caffe, case, announce
        self.trace: List[float] = []
        self.loss = 0.0  # before the first forward pass
        self.top_diff: Json = {}
        self.shapes: Json = {}  # of the parameters given, by layer
        for name, content in case.get("files", {}).items():
            with open(name, "wb") as file:
                file.write(base64.b64decode(content))
        with open("net.prototxt", "w") as text:
            text.write(case["net"])
        with self.stage("construct"):
            self.construct()
            self.fill(case)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announces the stage; an exception inside it is a refusal of that stage."""
        self.announce(name)
        try:
            yield
        except Exception as error:
            raise Refused(name, error) from error

    def construct(self) -> None:
        """The net, of the case's phase, level and stages; an old Caffe takes the phase alone."""
        options = {key: self.case[key] for key in ("level", "stages") if self.case.get(key)}
        self.net = self.caffe.Net("net.prototxt", getattr(self.caffe, self.case.get("phase", "TRAIN")), **options)
        self.names = list(self.net._blob_names)
        self.blobs = dict(zip(self.names, self.net._blobs))
        self.layers = list(zip(self.net._layer_names, self.net.layers))

    def fill(self, one: Json) -> None:
        """What a pass brings: inputs, reshaped where they are of another shape; parameters; the diffs' first values."""
        reshaped: List[str] = []
        for name, message in one.get("inputs", {}).items():
            array, blob = decode(message), self.blobs[name]
            if tuple(blob.shape) != array.shape:
                blob.reshape(*array.shape)
                reshaped.append(name)
            if array.size:
                blob.data[...] = array
        if reshaped and self.trace:
            self.net.reshape()  # before the diffs of what lies between are filled
        for name, messages in one.get("params", {}).items():
            blobs = self.learnable(name)
            if len(blobs) < len(messages):
                raise ValueError(f"layer {name!r} has {len(blobs)} learnable blobs, not {len(messages)}")
            for blob, message in zip(blobs, messages):
                blob.data[...] = decode(message).reshape(tuple(blob.shape))  # an old Caffe keeps (1, 1, N, K)
            self.shapes[name] = [message["shape"] for message in messages]
        for name, value in one.get("prefill_diff", {}).items():
            self.blobs[name].diff[...] = float(value)
        self.top_diff = one.get("top_diff", {})

    def learnable(self, layer: str) -> List[Any]:
        return [blob for name, found in self.layers if name == layer for blob in found.blobs]

    def forward(self) -> None:
        """All layers; the total is Caffe's own weighted sum, which net.forward() of pycaffe does not return."""
        self.loss = float(self.net._forward(0, len(self.layers) - 1))
        for name, value in self.top_diff.items():
            self.blobs[name].diff[...] = float(value)

    def backward(self) -> None:
        """All layers that Caffe runs backward."""
        self.net._backward(len(self.layers) - 1, 0)

    def run(self) -> Json:
        """The case's passes: what the net holds after the last of them, and after each where that is asked for."""
        states = []
        for place, one in enumerate([self.case, *self.case.get("passes", [])]):
            if place:
                self.enter(one)
            for step in one.get("steps", ["forward", "backward"]):
                with self.stage(step):
                    self.forward() if step == "forward" else self.backward()
                self.trace.append(self.loss)
            if self.case.get("each_pass"):
                states.append(self.state())
        outcome = states[-1] if states else self.state()
        if len(self.trace) > 2 or self.case.get("passes"):
            outcome = dict(outcome, loss_trace=[number(loss) for loss in self.trace])
        return dict(outcome, passes=states) if states else outcome

    def enter(self, one: Json) -> None:
        """What changes before a further pass; a Caffe that refuses the new shapes does so in its forward."""
        with self.stage("forward"):
            if one.get("clear", True):
                self.clear_param_diffs()
            self.fill(one)

    def clear_param_diffs(self) -> None:
        """The diffs of all parameters set to zero; by hand where this pycaffe cannot."""
        if hasattr(self.net, "clear_param_diffs"):
            self.net.clear_param_diffs()
            return
        for _, layer in self.layers:
            for blob in layer.blobs:
                blob.diff[...] = 0

    def state(self) -> Json:
        """Everything the net holds now."""
        diffs = {name: [self.array(blob, "diff") for blob in layer.blobs] for name, layer in self.layers}
        for name, shapes in self.shapes.items():
            for diff, shape in zip(diffs[name], shapes):
                diff["shape"] = shape  # an old Caffe keeps (1, 1, N, K)
        return {
            "dtype": "float32",
            "loss": number(self.loss),
            "data": {name: self.array(blob, "data") for name, blob in self.blobs.items()},
            "diff": {name: self.array(blob, "diff") for name, blob in self.blobs.items()},
            "param_diff": {name: arrays for name, arrays in diffs.items() if arrays},
            "layers": self.record(),
            "outputs": [self.names[index] for index in self.net._outputs],
        }

    @staticmethod
    def array(blob: Any, part: str) -> Json:
        """A blob's data or diff; an empty blob's is not touched, Caffe aborts on it."""
        shape = tuple(blob.shape)
        return encode(np.zeros(shape, np.float32) if 0 in shape else getattr(blob, part))

    def record(self) -> List[Json]:
        """The layers after splitting. Caffe tells loss weights by blob: left out where an in-place layer shares one."""
        bottoms = [[self.names[i] for i in self.net._bottom_ids(index)] for index in range(len(self.layers))]
        tops = [list(self.net._top_ids(index)) for index in range(len(self.layers))]
        producers = collections.Counter(top for row in tops for top in row)
        weights = list(getattr(self.net, "_blob_loss_weights", []))
        records = []
        for (name, layer), bottom, top in zip(self.layers, bottoms, tops):
            row = {"name": name, "type": str(layer.type), "bottoms": bottom, "tops": [self.names[i] for i in top]}
            if weights and all(producers[i] == 1 for i in top):
                row["loss_weights"] = [number(weights[i]) for i in top]
            records.append(row)
        return records


def stopwatch(caffe: Any, gpu: Optional[int]) -> Callable[[Callable[[], None]], float]:
    """Seconds that a call takes; on a GPU by Caffe's own timer, which waits for the device."""

    def wall(call: Callable[[], None]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    def device(call: Callable[[], None]) -> float:
        timer = caffe.Timer()
        timer.start()
        call()
        timer.stop()
        return float(timer.ms) / 1e3

    return wall if gpu is None or not hasattr(caffe, "Timer") else device


def clock(net: CaffeNet, rounds: int, seconds: Callable[[Callable[[], None]], float]) -> Json:
    """Per round: forward, backward, and one after the other, each on its own; after one unmeasured pass of each."""

    def both() -> None:
        net.forward()
        net.backward()

    for stage, call in (("forward", net.forward), ("backward", net.backward)):
        with net.stage(stage):
            call()
    passes = (("forward", net.forward), ("backward", net.backward), ("both", both))
    times: Dict[str, List[float]] = {name: [] for name, _ in passes}
    for _ in range(rounds):
        for name, call in passes:
            times[name].append(seconds(call))
    return times


def perform(caffe: Any, gpu: Optional[int], request: Json, place: str, announce: Announce) -> Json:
    """The answer to run or time, less its id; works in the folder ``place``."""
    if request.get("dtype", "float32") != "float32":
        return {"unsupported": "pycaffe wraps Net<float>; there is no {}".format(request["dtype"])}
    if gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()
    os.chdir(place)
    try:
        net = CaffeNet(caffe, request["case"], announce)
        if request["verb"] == "time":
            return {"times": clock(net, request["rounds"], stopwatch(caffe, gpu))}
        return {"outcome": net.run()}
    except Refused as refusal:
        return {"refusal": {"stage": refusal.stage, "message": str(refusal), "layer": None}}


# a child for each case


def die_with(parent: int) -> None:
    """Has Linux kill this process when its parent ends; the parent's own watch on its standard input does the rest."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class Fork:
    """A fork that performs one request: its messages come out of one pipe, its standard error out of another."""

    def __init__(self, work: Callable[[Callable[[Json], None]], None]) -> None:
        parent = os.getpid()
        (lines, lines_in), (errors, errors_in) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(lines_in)
            os.close(errors_in)
            self.lines, self.errors, self.stage, self.tail, self.rest = lines, errors, "construct", b"", bytearray()
            return
        try:
            die_with(parent)
            os.dup2(errors_in, 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            with os.fdopen(lines_in, "wb") as out:
                work(lambda message: write(out, message))
        finally:
            os._exit(1)  # Caffe's destructors may abort after an overrun; the answer is out by now

    def answer(self, out: BinaryIO) -> Json:
        """Waits for the child's end: its answer, or what its death says."""
        found = self.relay(out)
        _, status = os.waitpid(self.pid, 0)
        if found is None:
            return self.obituary(status)
        if "refusal" in found:
            told = import_error(found["refusal"]["message"], self.tail.decode("utf-8", "replace"))
            found["refusal"]["message"] = told
        return found

    def relay(self, out: BinaryIO) -> Optional[Json]:
        """Passes on stages and standard error until both pipes end; the answer, where the child lived to give one.

        Ends this process when the harness closes its end of standard input.
        """
        poll, answer = select.poll(), None
        for fd in (self.lines, self.errors):
            poll.register(fd, select.POLLIN)
        poll.register(0, 0)  # only its hanging up is of interest
        open_ends = {self.lines, self.errors}
        while open_ends:
            for fd, _ in poll.poll():
                if fd == 0:
                    os.kill(self.pid, signal.SIGKILL)
                    sys.exit(0)
                chunk = os.read(fd, TAIL)
                if not chunk:
                    poll.unregister(fd)
                    os.close(fd)
                    open_ends.discard(fd)
                elif fd == self.errors:
                    self.tail = (self.tail + chunk)[-TAIL:]
                    os.write(2, chunk)
                else:
                    answer = self.take(chunk, out) or answer
        return answer

    def take(self, chunk: bytes, out: BinaryIO) -> Optional[Json]:
        """Stages go straight to the harness; the answer waits until the child has ended."""
        self.rest += chunk
        if b"\n" not in chunk:
            return None
        *whole, self.rest = self.rest.split(b"\n")
        for line in whole:
            message: Json = json.loads(line.decode("ascii"))
            if "event" not in message:
                return message
            self.stage = message["stage"]
            write(out, message)
        return None

    def obituary(self, status: int) -> Json:
        """What to answer in place of a child that gave no answer: Caffe's refusal, or a crash."""
        if not os.WIFSIGNALED(status):
            return {"crash": {"stage": self.stage, "reason": f"exited with status {os.WEXITSTATUS(status)}"}}
        name, text = signal_name(os.WTERMSIG(status)), fatal_text(self.tail.decode("utf-8", "replace"))
        if name == "SIGABRT" and text:
            return {"refusal": {"stage": self.stage, "message": text, "layer": None}}
        return {"crash": {"stage": self.stage, "reason": f"died by {name}"}}


# the conversation


def write(out: BinaryIO, message: Json) -> None:
    """One message, one line, at once."""
    out.write(json.dumps(message, allow_nan=False).encode("ascii") + b"\n")
    out.flush()


def guarded_stdout() -> BinaryIO:
    """The harness's line. What anybody else prints, C++ included, goes to standard error from here on."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return out


def mistaken(error: Exception) -> Json:
    """The answer to a request that nothing could be made of."""
    traceback.print_exc()
    return {"error": f"{type(error).__name__}: {error}"}


def answer(caffe: Any, gpu: Optional[int], request: Json, out: BinaryIO) -> Json:
    """The answer to run or time, less its id."""
    home, place = os.getcwd(), tempfile.mkdtemp(prefix="lossconf-")

    def work(send: Callable[[Json], None]) -> None:
        def announce(stage: str) -> None:
            send({"event": "stage", "id": request["id"], "stage": stage})

        try:
            send(perform(caffe, gpu, request, place, announce))
        except Exception as error:
            send(mistaken(error))

    try:
        if gpu is None and hasattr(os, "fork"):
            return Fork(work).answer(out)
        sent: List[Json] = []
        work(lambda message: write(out, message) if "event" in message else sent.append(message))
        return sent[0]
    finally:
        os.chdir(home)
        shutil.rmtree(place, ignore_errors=True)


def serve(caffe: Any, gpu: Optional[int], out: BinaryIO) -> None:
    """Answers requests until stop, or until standard input ends."""
    for line in sys.stdin.buffer:
        asked = None
        try:
            request: Json = json.loads(line.decode("utf-8"))
            verb, asked = request["verb"], request.get("id")
            if verb == "stop":
                return
            if verb == "describe":
                reply: Json = {"description": describe(caffe, gpu, request.get("protocol", PROTOCOL))}
            elif verb in ("run", "time"):
                reply = answer(caffe, gpu, request, out)
            else:
                raise ValueError(f"unknown verb {verb!r}")
        except Exception as error:
            reply = mistaken(error)
        write(out, dict(reply, id=asked))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", type=int, metavar="N", help="run on CUDA device N, without a fork for each case")
    gpu = parser.parse_args().gpu
    if gpu is not None:
        die_with(os.getppid())  # nothing here looks at standard input while a case runs
    out = guarded_stdout()
    serve(import_caffe(), gpu, out)


if __name__ == "__main__":
    main()
