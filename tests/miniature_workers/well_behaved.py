"""A small implementation that does everything right: the one that the misbehaving ones spoil in one place each.

It answers with zeros of the right shapes, which is all that the plumbing asks for. With ``--honest`` it computes, by
means of the reference, so that a whole suite can be run on it.
"""

import json
import sys

CONSTRUCT_FORWARD_BACKWARD = ("construct", "forward", "backward")


class WellBehaved:
    """The protocol in as few lines as it takes. A subclass overrides what it wants to get wrong."""

    protocol = 2
    name = "miniature"
    dtypes = ("float32", "float64")

    def __init__(self, honest=False):
        self.honest = honest

    def send(self, message):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    def serve(self):
        for line in sys.stdin:
            request = json.loads(line)
            if request["verb"] == "stop":
                return
            getattr(self, request["verb"])(request)

    def describe(self, request):
        description = {
            "protocol": self.protocol,
            "name": self.name,
            "version": "1",
            "language": "Python",
            "capability": "net",
            "dtypes": list(self.dtypes),
            "devices": ["cpu"],
        }
        self.send({"id": request["id"], "description": description})

    def run(self, request):
        self.send({"id": request["id"], **self.answer(request)})

    def answer(self, request):
        if self.honest:
            return computed(request)
        for stage in CONSTRUCT_FORWARD_BACKWARD:
            self.send({"event": "stage", "id": request["id"], "stage": stage})
        return {"outcome": self.outcome_of(request["case"], request["dtype"])}

    def outcome_of(self, case, dtype):
        states, inputs, params, steps = [], {}, {}, 0
        for one in [case, *case.get("passes", [])]:
            inputs = {**inputs, **one.get("inputs", {})}
            params = {**params, **one.get("params", {})}
            steps += len(one.get("steps", ["forward", "backward"]))
            zeros = {name: zeros_like(array) for name, array in inputs.items()}
            diffs = {layer: [zeros_like(array) for array in arrays] for layer, arrays in params.items()}
            states.append({"dtype": dtype, "loss": 0.0, "data": inputs, "diff": zeros, "param_diff": diffs})
        outcome = dict(states[-1])
        if case.get("passes"):
            outcome["loss_trace"] = [0.0] * steps
        if case.get("each_pass"):
            outcome["passes"] = states
        return outcome

    def time(self, request):
        seconds = [1e-6] * request["rounds"]
        self.send({"id": request["id"], "times": {"forward": seconds, "backward": seconds, "both": seconds}})


def zeros_like(array):
    """Zeros of the shape of an array message, as a plain list."""
    count = 1
    for size in array["shape"]:
        count *= size
    return {"shape": array["shape"], "data": [0] * count}


def computed(request):
    """The reference's answer."""
    from conformance.adapters.reference import ReferenceImplementation
    from conformance.contract.case import Case
    from conformance.contract.outcome import Refusal

    result = ReferenceImplementation().run(Case.from_json("unnamed", request["case"]), request["dtype"])
    if isinstance(result, Refusal):
        return {"refusal": {"stage": result.third_party_stage, "message": result.message, "layer": result.layer}}
    return {"outcome": {"dtype": request["dtype"], **result.to_json()}}


if __name__ == "__main__":
    WellBehaved("--honest" in sys.argv).serve()
