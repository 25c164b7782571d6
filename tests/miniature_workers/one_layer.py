"""An EuclideanLoss over the protocol: ``one_layer.py [BEHAVIOUR]``, right where no behaviour is named."""

import base64
import json
import os
import struct
import sys

BEHAVIOUR = sys.argv[1] if len(sys.argv) > 1 else "none"
KEPT = {}


def describe():
    layers = [] if BEHAVIOUR == "names no layers" else ["EuclideanLoss", "NobodyKnowsLoss"]
    version = 1 if BEHAVIOUR == "speaks version 1" else 2
    return {"protocol": version, "name": "one layer", "capability": "layer", "layers": layers, "dtypes": ["float32"]}


def run(request):
    """The last pass's numbers; ``KEPT`` is what a layer object would hold, made anew for each request."""
    KEPT.clear()
    passes = request.get("passes", [request])
    for one in passes:
        bottoms = one.get("bottoms") or KEPT["bottoms"]
        KEPT.update(bottoms=bottoms)
        if BEHAVIOUR == "keeps the first batch":
            bottoms = KEPT.setdefault("first", bottoms)
        answer = computed({**one, "layer": request["layer"], "bottoms": bottoms})
    return answer


def computed(request):
    a, b = (read(bottom) for bottom in request["bottoms"])
    num = request["bottoms"][0]["shape"][0]
    if BEHAVIOUR == "refuses" or "loss_param" in request["layer"]:
        return {"refusal": {"stage": "forward", "message": "not today"}}
    if BEHAVIOUR == "dies in backward" and "top_diffs" in request:
        os.abort()
    difference = [x - y for x, y in zip(a, b, strict=True)]
    answer = {"tops": [{"shape": [], "data": [sum(d * d for d in difference) / (2 * num)]}]}
    if "top_diffs" in request:
        (weight,) = read(request["top_diffs"][0])
        answer["bottom_diffs"] = [
            {"shape": bottom["shape"], "data": [sign * weight * d / num for d in difference]} if wanted else None
            for sign, bottom, wanted in zip((1, -1), request["bottoms"], request["propagate_down"], strict=True)
        ]
    return {"computed": spoilt(answer)}


def spoilt(answer):
    if BEHAVIOUR == "forgets its top":
        answer["tops"] = []
    if BEHAVIOUR == "sends float64":
        answer["tops"] = [{"dtype": "float64", "shape": [], "base64": "AAAAAAAA8D8="}]
    if BEHAVIOUR == "forgets a gradient":
        answer.pop("bottom_diffs", None)
    if BEHAVIOUR == "sends a wrong shape" and "bottom_diffs" in answer:
        answer["bottom_diffs"][0] = {"shape": [1], "data": [0]}
    return answer


def read(array):
    raw = base64.b64decode(array["base64"])
    return struct.unpack(f"<{len(raw) // 4}f", raw)


for line in sys.stdin:
    request = json.loads(line)
    if request["verb"] == "stop":
        break
    answer = {"description": describe()} if request["verb"] == "describe" else run(request)
    print(json.dumps({"id": request["id"], **answer}), flush=True)
