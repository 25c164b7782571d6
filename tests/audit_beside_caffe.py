"""What `lossconf audit` says of nets, held against a real Caffe that builds them: loss weights and who runs backward.

    python -m tests.audit_beside_caffe FOLDER PYTHON

FOLDER holds nets (train_val.prototxt and the like, under any name); PYTHON is an interpreter with pycaffe, as
tests/real_caffe.py installs one. Data layers become Inputs of small shapes; force_backward is taken out, because Caffe
does not log what it changes. A net that this Caffe cannot build is named with the reason. Ends with 1 where something
differs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from conformance.audit.document import read_document
from conformance.audit.graph import graph_of, is_loss
from conformance.contract.errors import UsageError, one_line
from refimpl.errors import NetError
from refimpl.messages import BlobShape, InputParameter, LayerParameter, NetParameter, NetState
from refimpl.prototxt import dump_net
from refimpl.splits import included

WORKER = Path(__file__).parent.parent / "conformance" / "adapters"
IN_CAFFE = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
os.environ["GLOG_minloglevel"] = "0"
import worker
caffe = worker.import_caffe()
print(json.dumps(list(caffe.layer_type_list())), flush=True)
for line in sys.stdin:
    path = line.rstrip()
    child = os.fork()
    if not child:
        log = os.open(path + ".log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        net = caffe.Net(path, caffe.TRAIN)
        names, weights = list(net._blob_names), list(net._blob_loss_weights)
        tops = [list(net._top_ids(i)) for i in range(len(net.layers))]
        made = [top for row in tops for top in row]
        layers = [
            {"name": name, "weights": [weights[i] if made.count(i) == 1 else None for i in row]}
            for name, row in zip(net._layer_names, tops)
        ]
        shapes = {name: list(blob.shape) for name, blob in zip(names, net._blobs)}
        with open(path + ".json", "w") as file:
            json.dump({"layers": layers, "shapes": shapes}, file)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
BACKWARD = re.compile(r"\] (.*) (needs|does not need) backward computation\.$", re.MULTILINE)
FATAL = re.compile(r"^F\d{4}.*?\] (.*)$", re.MULTILINE)
BATCH = 2
SIZES = ((3, 64), (3, 224), (1, 28), (3, 321))


class Caffe:
    """A pycaffe in a process of its own, which builds every net in a fork."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, "-c", IN_CAFFE, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.types: set[str] = set(json.loads(self._line()))

    def build(self, text: str, folder: Path) -> tuple[dict | None, str]:
        """What Caffe makes of a net, None where it stops, and its log."""
        path = folder / "net.prototxt"
        path.write_text(text, "utf-8")
        assert self.process.stdin is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        status = int(self._line())
        log = Path(f"{path}.log").read_text("utf-8", "replace")
        return (json.loads(Path(f"{path}.json").read_text()) if status == 0 else None), log

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def is_data(layer: LayerParameter) -> bool:
    return not layer.bottom and layer.type not in ("Parameter", "DummyData")


def fed(net: NetParameter, shapes: dict[str, Sequence[int]], left_out: frozenset[str] = frozenset()) -> NetParameter:
    """The net with an Input for every top of a data layer, without the layers that need those that are left out."""
    gone, layers = set(left_out), []
    for layer in net.layer:
        if not gone.isdisjoint(layer.bottom):
            gone.update(layer.top)
        elif is_data(layer):
            layers += [
                LayerParameter(
                    name=f"{layer.name} {top}",
                    type="Input",
                    top=(top,),
                    input_param=InputParameter(shape=(BlobShape(dim=tuple(shapes[top])),)),
                )
                for top in layer.top
                if top not in gone
            ]
        else:
            layers.append(layer)
    return replace(net, layer=tuple(layers), force_backward=False)


def builds(net: NetParameter, caffe: Caffe, folder: Path) -> tuple[NetParameter, dict, str] | str:
    """The net with inputs of shapes that it can be built with, what Caffe made of it and its log; or why none is."""
    given = [top for layer in net.layer if is_data(layer) for top in layer.top]
    labels = frozenset(top for top in given if is_label(net, top))
    why = ""
    for channels, size in SIZES:
        shapes: dict[str, Sequence[int]] = {top: (BATCH, channels, size, size) for top in given}
        without, log = caffe.build(dump_net(fed(net, shapes, labels)), folder)
        if without is not None:
            shapes |= {top: label_shape(net, top, without["shapes"]) for top in labels}
            whole = fed(net, shapes)
            made, log = caffe.build(dump_net(whole), folder)
            if made is not None:
                return whole, made, log
        why = why or next(iter(FATAL.findall(log)), log[-200:])
    return one_line(why, 160)


def readers(net: NetParameter, top: str) -> Iterator[tuple[LayerParameter, int]]:
    for layer in net.layer:
        for i, name in enumerate(layer.bottom):
            if name == top:
                yield layer, i


def is_label(net: NetParameter, top: str) -> bool:
    """Whether it goes to losses alone, and not to their first bottom."""
    found = list(readers(net, top))
    return bool(found) and all(i > 0 and (is_loss(layer.type) or layer.type == "Accuracy") for layer, i in found)


def label_shape(net: NetParameter, top: str, shapes: dict[str, list[int]]) -> Sequence[int]:
    """One number for a position where classes compete or pairs are compared, else the scores' shape."""
    layer, _ = next(readers(net, top))
    scores = shapes.get(layer.bottom[0], [BATCH])
    if layer.type == "ContrastiveLoss":
        return scores[:1]
    if layer.type in ("EuclideanLoss", "SigmoidCrossEntropyLoss"):
        return scores
    return [*scores[:1], *scores[2:]]


def differences(net: NetParameter, made: dict, log: str, folder: Path) -> list[str]:
    """Where audit says of the built net something else than Caffe did."""
    path = folder / "audited.prototxt"
    path.write_text(dump_net(net), "utf-8")
    nodes = graph_of(read_document(path), "TRAIN", 0, ()).nodes
    found = []
    if [node.name for node in nodes] != [row["name"] for row in made["layers"]]:
        return ["the layers after splitting are others"]
    logged = [(name, word == "needs") for name, word in BACKWARD.findall(log)]
    if [name for name, _ in reversed(logged)] != [node.name for node in nodes]:
        return [f"the log names {len(logged)} of {len(nodes)} layers"]
    for node, row, (_, backward) in zip(nodes, made["layers"], reversed(logged), strict=True):
        pairs = zip(node.loss_weights, row["weights"], strict=True)
        if any(theirs is not None and abs(ours - theirs) > 1e-6 * abs(theirs) for ours, theirs in pairs):
            found.append(f"{node.name}: weights {node.loss_weights}, Caffe has {row['weights']}")
        if node.need_backward != backward:
            found.append(f"{node.name}: need_backward {node.need_backward}, Caffe has {backward}")
    return found


def main(folder: Path, python: str) -> int:
    caffe = Caffe(python)
    told: Counter[str] = Counter()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            document = read_document(path)
            state = NetState(phase="TRAIN", level=document.state.level, stage=document.state.stage)
            kept = [layer for layer in document.net.layer if included(layer, state)]
        except (UsageError, NetError) as error:
            told["not read"] += 1
            print(f"not read: {path.name}: {error}")
            continue
        net = replace(document.net, layer=tuple(replace(layer, include=(), exclude=()) for layer in kept))
        lacking = {layer.type for layer in kept if not is_data(layer)} - (caffe.types - {"Python"})
        with tempfile.TemporaryDirectory() as place:
            built = f"no {', '.join(sorted(lacking))}" if lacking else builds(net, caffe, Path(place))
            if isinstance(built, str):
                told["not built"] += 1
                print(f"not built: {path.name}: {built}")
                continue
            wrong = differences(*built, Path(place))
        told["differ" if wrong else "equal"] += 1
        told["layers held"] += len(built[1]["layers"])
        print(f"{'DIFFERS' if wrong else 'equal'}: {path.name}", *wrong[:5], sep="\n    ", flush=True)
    print(dict(told))
    return int(bool(told["differ"]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
