"""Ways to go wrong, one function each: ``misbehaving.py BEHAVIOUR [--when TEXT] [--honest]``.

A behaviour of the second kind sets in at every case whose net contains TEXT, and everything else is well-behaved.
"""

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import time

from well_behaved import WellBehaved, zeros_like

CHECK = "F20240229 12:00:00.000000 4242 euclidean_loss_layer.cpp:12] Check failed: a == b (1 vs. 2) Inputs must agree."
FOREVER = 3600


class Spoilt(WellBehaved):
    """Well-behaved but for the cases that it is to spoil."""

    def __init__(self, behaviour, when, honest):
        super().__init__(honest)
        self.behaviour, self.when, self.last = behaviour, when, None

    def run(self, request):
        if self.when in request["case"]["net"]:
            self.behaviour(self, request)
        else:
            super().run(request)
        self.last = request["id"]

    def outcome(self, request):
        """A right outcome, to be spoilt."""
        return self.answer(request)["outcome"]

    def send_outcome(self, request, outcome):
        self.send({"id": request["id"], "outcome": outcome})


# From the start.


def exits_at_start(worker):
    sys.exit("no Caffe here")


def silent_at_start(worker):
    time.sleep(FOREVER)


def banner_at_start(worker):
    print("Caffe 1.0, (c) its authors", flush=True)
    worker.serve()


def speaks_another_version(worker):
    worker.protocol = 99
    worker.serve()


def speaks_version_1(worker):
    worker.protocol = 1
    worker.serve()


def speaks_version_1_alone(worker):
    """Strict: can make nothing of another version's describe."""
    worker.protocol, describe = 1, worker.describe

    def strict(request):
        refusal = {"id": request["id"], "error": "protocol is 1"}
        describe(request) if request["protocol"] == 1 else worker.send(refusal)

    worker.describe = strict
    worker.serve()


def describes_nothing(worker):
    worker.describe = lambda request: worker.send({"id": request["id"], "description": {}})
    worker.serve()


def is_another_one_after_a_restart(worker):
    """Dies in a spoilt case, and calls itself by another name where it has been started before."""
    mark = os.path.join(os.environ["LOSSCONF_TEST_FOLDER"], "started")
    if os.path.exists(mark):
        worker.name = "other"
    open(mark, "w").close()
    worker.behaviour = exits_quietly
    worker.serve()


# Deaths.


def exits_quietly(worker, request):
    os._exit(0)


def exits_with_status_3(worker, request):
    os._exit(3)


def aborts(worker, request):
    os.abort()


def fails_a_check(worker, request):
    worker.send({"event": "stage", "id": request["id"], "stage": "forward"})
    sys.stderr.write(CHECK + "\n*** Check failure stack trace: ***\n    @ 0x7f google::LogMessage::Fail()\n")
    sys.stderr.flush()
    os.abort()


def exits_after_a_failed_check(worker, request):
    sys.stderr.write(CHECK + "\n")
    sys.stderr.flush()
    os._exit(1)


def segfaults(worker, request):
    os.kill(os.getpid(), signal.SIGSEGV)


def divides_by_zero(worker, request):
    os.kill(os.getpid(), signal.SIGFPE)


def is_killed(worker, request):
    os.kill(os.getpid(), signal.SIGKILL)


def raises(worker, request):
    raise RuntimeError("unexpected")


def dies_after_its_answer(worker, request):
    worker.send({"id": request["id"], **worker.answer(request)})
    os.kill(os.getpid(), signal.SIGSEGV)


def dies_and_leaves_a_child(worker, request):
    subprocess.Popen(["sleep", str(FOREVER)])  # holds all three pipes open
    os._exit(1)


def floods_stderr_and_dies(worker, request):
    sys.stderr.write("noise\n" * 1_000_000 + "the last words\n")
    sys.stderr.flush()
    os._exit(1)


# Silence.


def hangs(worker, request):
    worker.send({"event": "stage", "id": request["id"], "stage": "backward"})
    time.sleep(FOREVER)


def hangs_deaf_to_signals(worker, request):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(FOREVER)


def never_flushes(worker, request):
    sys.stdout.write(json.dumps({"id": request["id"], "outcome": worker.outcome(request)}) + "\n")
    time.sleep(FOREVER)


def stops_in_mid_line(worker, request):
    sys.stdout.write('{"id": ')
    sys.stdout.flush()
    time.sleep(FOREVER)


def announces_stages_without_end(worker, request):
    while True:
        worker.send({"event": "stage", "id": request["id"], "stage": "forward"})


def hangs_after_its_answer(worker, request):
    worker.send({"id": request["id"], **worker.answer(request)})
    time.sleep(FOREVER)


def closes_stdout(worker, request):
    os.close(1)
    time.sleep(FOREVER)


# Words out of place.


def prints_to_stdout(worker, request):
    print("I1121 net.cpp:744] Ignoring source layer", flush=True)
    worker.send({"id": request["id"], **worker.answer(request)})


def prints_after_its_answer(worker, request):
    worker.send({"id": request["id"], **worker.answer(request)})
    time.sleep(0.05)
    print("done", flush=True)


def is_another_one_after_its_answer(worker, request):
    WellBehaved.run(worker, request)
    worker.name = "other"


def answers_twice(worker, request):
    answer = {"id": request["id"], **worker.answer(request)}
    worker.send(answer)
    worker.send(answer)


def answers_the_case_before(worker, request):
    worker.send({"id": worker.last, "outcome": worker.outcome(request)})


def answers_with_a_wrong_id(worker, request):
    worker.send({"id": request["id"] + 1000, **worker.answer(request)})


def answers_with_a_text_for_an_id(worker, request):
    worker.send({"id": str(request["id"]), **worker.answer(request)})


def answers_without_an_id(worker, request):
    worker.send(worker.answer(request))


def answers_another_question(worker, request):
    worker.describe(request)


def answers_two_things_at_once(worker, request):
    worker.send({"id": request["id"], **worker.answer(request), "unsupported": "or is it?"})


def announces_an_unknown_stage(worker, request):
    worker.send({"event": "stage", "id": request["id"], "stage": "training"})


def complains_about_the_request(worker, request):
    print(request["case"]["net"].splitlines()[0], file=sys.stderr, flush=True)
    worker.send({"id": request["id"], "error": "KeyError: 'shape'"})


# No JSON.


def answers_garbage(worker, request):
    print("loss = 0.5508590754231475", flush=True)


def answers_invalid_utf8(worker, request):
    sys.stdout.buffer.write(b'{"id": %d, "unsupported": "\xff\xfe"}\n' % request["id"])
    sys.stdout.buffer.flush()


def answers_a_list(worker, request):
    worker.send([request["id"], "outcome"])


def answers_half_a_line(worker, request):
    print(json.dumps({"id": request["id"], **worker.answer(request)})[:-20], flush=True)


def answers_bare_nan(worker, request):
    worker.send_outcome(request, {**worker.outcome(request), "loss": float("nan")})


def answers_a_tower(worker, request):
    print("[" * 100_000 + "]" * 100_000, flush=True)


def answers_without_end(worker, request):
    try:
        while True:
            os.write(1, b" " * (1 << 20))
    except BrokenPipeError:
        os._exit(1)


# No outcome.


def forgets_the_total(worker, request):
    outcome = worker.outcome(request)
    del outcome["loss"]
    worker.send_outcome(request, outcome)


def forgets_a_gradient(worker, request):
    outcome = worker.outcome(request)
    del outcome["diff"][next(iter(request["case"]["inputs"]))]
    worker.send_outcome(request, outcome)


def reports_a_stranger(worker, request):
    outcome = worker.outcome(request)
    outcome["data"] = {**outcome["data"], "nobody": {"shape": [], "data": [0]}}
    worker.send_outcome(request, outcome)


def forgets_a_pass(worker, request):
    outcome = worker.outcome(request)
    outcome["passes"] = outcome.get("passes", [])[1:]
    worker.send_outcome(request, outcome)


def forgets_the_totals(worker, request):
    outcome = worker.outcome(request)
    outcome.pop("loss_trace", None)
    worker.send_outcome(request, outcome)


def answers_the_first_pass(worker, request):
    worker.send_outcome(request, worker.outcome({**request, "case": {**request["case"], "passes": []}}))


def spoils_the_last_state(worker, request):
    outcome = worker.outcome(request)
    worker.send_outcome(request, {**outcome, "loss": 1.0})


def answers_passes_of_one_size(worker, request):
    outcome = worker.outcome(request)
    worker.send_outcome(request, {**outcome, "passes": outcome["passes"][-1:] * len(outcome["passes"])})


def tells_passes_unasked(worker, request):
    outcome = worker.outcome(request)
    worker.send_outcome(request, {**outcome, "passes": [outcome]})


def misspells_a_field(worker, request):
    outcome = worker.outcome(request)
    outcome["diffs"] = outcome.pop("diff")
    worker.send_outcome(request, outcome)


def says_the_wrong_type(worker, request):
    worker.send_outcome(request, {**worker.outcome(request), "dtype": "float64"})


def sends_float64_for_float32(worker, request):
    outcome = worker.outcome(request)
    outcome["diff"] = {name: float64_zeros(array["shape"]) for name, array in outcome["diff"].items()}
    worker.send_outcome(request, outcome)


def float64_zeros(shape):
    raw = bytes(8 * len(zeros_like({"shape": shape})["data"]))
    return {"dtype": "float64", "shape": shape, "base64": base64.b64encode(raw).decode("ascii")}


def sends_a_wrong_shape(worker, request):
    outcome = worker.outcome(request)
    outcome["diff"] = {name: zeros_like({"shape": [*array["shape"], 1]}) for name, array in outcome["diff"].items()}
    worker.send_outcome(request, outcome)


def sends_too_few_numbers(worker, request):
    outcome = worker.outcome(request)
    for array in outcome["diff"].values():
        array["data"] = array["data"][:-1]
    worker.send_outcome(request, outcome)


def sends_a_negative_size(worker, request):
    outcome = worker.outcome(request)
    outcome["diff"]["x"] = {"shape": [-1], "data": []}
    worker.send_outcome(request, outcome)


def sends_broken_base64(worker, request):
    outcome = worker.outcome(request)
    outcome["diff"]["x"] = {"dtype": "float32", "shape": [], "base64": "AAAA*==="}
    worker.send_outcome(request, outcome)


def sends_a_number_beyond_float(worker, request):
    outcome = worker.outcome(request)
    outcome["diff"]["x"] = {"shape": [], "data": [10**400]}
    worker.send_outcome(request, outcome)


# Odd, and none of the plumbing's business.


def sends_nan_where_finite(worker, request):
    outcome = worker.outcome(request)
    for array in outcome["diff"].values():
        array["data"] = ["NaN"] * len(array["data"])
    worker.send_outcome(request, {**outcome, "loss": "NaN"})


def floods_stderr(worker, request):
    sys.stderr.write("noise\n" * 1_000_000)
    sys.stderr.flush()
    worker.send({"id": request["id"], **worker.answer(request)})


def leaves_a_child_behind(worker, request):
    subprocess.Popen(["sleep", str(FOREVER)])
    worker.send({"id": request["id"], **worker.answer(request)})


def declines(worker, request):
    worker.send({"id": request["id"], "unsupported": "no InfogainLoss in this build"})


def refuses(worker, request):
    worker.send(
        {"id": request["id"], "refusal": {"stage": "forward", "message": "labels out of range", "layer": "loss"}}
    )


AT_START = (
    exits_at_start,
    silent_at_start,
    banner_at_start,
    speaks_another_version,
    speaks_version_1,
    speaks_version_1_alone,
    describes_nothing,
    is_another_one_after_a_restart,
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour")
    parser.add_argument("--when", default="spoil me")
    parser.add_argument("--honest", action="store_true")
    options = parser.parse_args()
    behaviour = globals()[options.behaviour]
    worker = Spoilt(behaviour, options.when, options.honest)
    if behaviour in AT_START:
        behaviour(worker)
    else:
        worker.serve()


if __name__ == "__main__":
    main()
