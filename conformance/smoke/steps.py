"""Steps: one case of each kind that the suite has, in the order in which a new implementation learns to answer them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from conformance.adapters.process import ProcessImplementation
from conformance.contract.case import Case
from conformance.contract.dtypes import FLOAT, ONE_OF
from conformance.contract.errors import UsageError, unknown
from conformance.contract.implementation import (
    DETERMINISM,
    Crash,
    Description,
    DoesNotStart,
    Implementation,
    ImplementationError,
    ProtocolError,
    TimedOut,
    Unsupported,
)
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.selection import claimed
from conformance.fixtures import case_ids, load
from conformance.losses import LOSSES, Loss, Variant
from conformance.smoke.found import Found, State
from conformance.smoke.outcome_faults import faults_of

__all__ = ["STEPS", "Bench"]

WEIGHT = 2.5


def _plainness(loss: Loss) -> tuple[bool, ...]:
    """Less for a loss that shows more of what an implementation has to get right, in a plainer net."""
    return not loss.forced, not loss.labelled, not loss.axis_option, "flat" in loss.traits


_REMEDIES: Mapping[type[ImplementationError], str] = {
    Crash: "run `lossconf show` on a case and that case by hand; the last lines it wrote are below",
    TimedOut: "answer sooner, or raise --timeout; a process has to flush after each answer",
    ProtocolError: "docs/protocol.md and docs/adapters/direct.md say what an answer holds",
    Unsupported: "leave out of `layers` and `dtypes` what is not there, or build it",
}
_NO_LOSS = "it claims no loss that is known here; `lossconf run` checks what it has without a formula"
_HERE = "it runs in the suite's own process; where a case kills that, `lossconf run` starts another"


class Bench:
    """An implementation on the bench; each step is a method that says what it found."""

    def __init__(self, implementation: Implementation, description: Description) -> None:
        self.implementation, self.description = implementation, description
        self.is_net = description.capability == "net"
        claimed = [loss for loss in LOSSES.values() if not description.layers or loss.type in description.layers]
        self.losses = sorted(claimed, key=_plainness)
        self.plainest: Variant | None = self.losses[0].plain if self.losses else None
        self.dtype = description.dtypes[0] if description.dtypes else FLOAT.name

    def describe(self) -> Found:
        """Who it is, in words that make sense."""
        claim = self.description
        for what, value, known in (
            ("capability", claim.capability, ("net", "layer")),
            ("dialect", claim.dialect, (None, "documented", "bvlc")),
            ("determinism", claim.determinism, (None, *DETERMINISM)),
        ):
            if value not in known:
                choices = ", ".join("null" if name is None else name for name in known)
                return _fix("describe", f"{what} is {value!r}", f"it is one of {choices}")
        try:
            several = [claimed(dtype) for dtype in claim.dtypes]
        except UsageError as error:
            return _fix("describe", f"dtypes are {list(claim.dtypes)}", str(error))
        if not several:
            return _fix("describe", "dtypes are []", f"name {ONE_OF}, or several of them")
        if not claim.name:
            return _fix("describe", "it has no name", "a name is what reports are filed under")
        if not self.losses and "Python" not in claim.layers:
            near = unknown("loss layer", claim.layers[0], [loss.type for loss in LOSSES.values()])
            return _fix("describe", f"none of its layers is a loss of Caffe's: {', '.join(claim.layers)}", str(near))
        layers = ", ".join(claim.layers) if 0 < len(claim.layers) <= 7 else f"{len(claim.layers) or 'any'} layers"
        who = " ".join(word for word in (claim.name, claim.version) if word)
        return _right("describe", f"{who}: {claim.capability}, {', '.join(claim.dtypes)}, {layers}")

    def plain(self) -> Found:
        """The smallest net with a loss."""
        return self._try("plain", lambda variant: variant.case("smoke/plain", weights=(WEIGHT,)))

    def spatial(self) -> Found:
        """Scores of four axes."""
        if not self.losses:
            return _skipped("spatial", _NO_LOSS)
        variant = next(v for v in self.losses[0].variants if len(v.shapes[v.first]) == 4)
        return self._tried("spatial", variant.case("smoke/spatial", weights=(WEIGHT,)), variant)

    def reshape(self) -> Found:
        """Inputs larger than the net declares them."""

        def grown(variant: Variant) -> Case:
            fed = variant.batch(variant.items + 3).case("smoke/reshape", weights=(WEIGHT,))
            return replace(fed, net=variant.sources() + variant.layer(weights=(WEIGHT,)))

        if self.plainest is not None and not self.plainest.forced:
            return _skipped("reshape", "its scores come from a parameter, which has one shape")
        return self._try("reshape", grown)

    def not_finite(self) -> Found:
        """NaN and an infinity among the inputs."""

        def spoilt(variant: Variant) -> Case:
            values = variant.values()
            values[variant.learned[0]].flat[:2] = np.nan, np.inf
            return variant.case("smoke/not-finite", weights=(WEIGHT,), values=values)

        return self._try("not-finite", spoilt)

    def passes(self) -> Found:
        """Forward and backward, twice."""
        steps = ("forward", "backward") * 2
        return self._try("passes", lambda variant: variant.case("smoke/passes", weights=(WEIGHT,), steps=steps))

    def dtype_two(self) -> Found:
        """The second of its types."""
        if len(self.description.dtypes) < 2:
            return _skipped("second-dtype", f"it computes in {self.dtype} alone")
        other = self.description.dtypes[1]
        return self._try("second-dtype", lambda variant: variant.case("smoke/dtype", weights=(WEIGHT,)), other)

    def files(self) -> Found:
        """A file that the net reads."""
        readers = [loss for loss in self.losses if any(bottom.file for bottom in loss.bottoms)]
        if not self.is_net or not readers:
            return _skipped("files", "it has no loss that reads one, or is no net")
        case = next(case for name in case_ids() if (case := load(name).case).files and readers[0].type in case.net)
        answer = self._answer("files", case, self.dtype)
        return answer if isinstance(answer, Found) else _right("files", f"read {', '.join(case.files)}")

    def refusal(self) -> Found:
        """Something that Caffe refuses."""
        variant = self.plainest
        if variant is None:
            return _skipped("refusal", _NO_LOSS)
        if self.is_net:
            second = variant.loss.names[1]
            batch, *others = variant.shapes[second]
            short = variant.reshaped({second: (batch - 1, *others)})
            case, why = short.case("smoke/refusal"), "a batch that does not match"
        elif variant.loss.labelled:
            values = variant.values()
            values[variant.loss.answer.name].flat[0] = 1e6
            case, why = variant.case("smoke/refusal", values=values), "a label that is no class"
        else:
            return _skipped("refusal", f"there is nothing that a {variant.loss.type} alone has to refuse")
        try:
            answer = self.implementation.run(case, self.dtype)
        except ImplementationError as error:
            remedy = "refuse in words, as docs/protocol.md and docs/adapters/direct.md have it"
            return _fix("refusal", f"{why}: {_sentence(error)}", remedy, error.detail)
        if isinstance(answer, Outcome):
            return _skipped("refusal", f"it accepted {why}; whether it may is for `lossconf run` to say")
        if answer.third_party_stage not in ("construct", "forward", "backward"):
            return _fix("refusal", f"its stage is {answer.stage!r}", "a stage is construct, forward or backward")
        return _right("refusal", f"{why}, refused at {answer.third_party_stage}: {answer.message}")

    def error(self) -> Found:
        """A net that nobody can read, and whether it goes on afterwards."""
        if not self.is_net:
            return _skipped("error", "nets are read by the suite for an implementation of single layers")
        case = Case("smoke/error", 'layer { name: "x" type:')
        try:
            answer = self.implementation.run(case, self.dtype)
        except Unsupported:
            answer = Refusal("construct", "")
        except ImplementationError as error:
            remedy = "answer what cannot be read with a refusal, and go on"
            return _fix("error", f"a net that is no prototxt: {_sentence(error)}", remedy, error.detail)
        if isinstance(answer, Outcome):
            return _fix("error", "it computed a net that is no prototxt", "read the net that the case gives")
        after = self._tried("error", self._plain_case(), self.plainest)
        return after if after.state is State.FIX else _right("error", "said no to a torn net, and went on")

    def restart(self) -> Found:
        """A process killed in a case, and started again."""
        running = self.implementation
        if not isinstance(running, ProcessImplementation):
            return _skipped("restart", _HERE)
        limit, running.timeout = running.timeout, 0.0
        with contextlib.suppress(ImplementationError):
            running.run(self._plain_case(), self.dtype)
        running.timeout = limit
        started = time.perf_counter()
        after = self._tried("restart", self._plain_case(), self.plainest)
        seconds = time.perf_counter() - started
        return (
            after if after.state is State.FIX else _right("restart", f"killed, and answering again in {seconds:.2g} s")
        )

    def _plain_case(self) -> Case:
        return self.plainest.case("smoke/plain", weights=(WEIGHT,)) if self.plainest else Case("smoke/nothing", "")

    def _try(self, step: str, make: Callable[[Variant], Case], dtype: str = "") -> Found:
        return (
            self._tried(step, make(self.plainest), self.plainest, dtype) if self.plainest else _skipped(step, _NO_LOSS)
        )

    def _tried(self, step: str, case: Case, variant: Variant | None, dtype: str = "") -> Found:
        """Run a net of one loss and look at the answer."""
        if variant is None:
            return _skipped(step, _NO_LOSS)
        answer = self._answer(step, case, dtype or self.dtype)
        if isinstance(answer, Found):
            return answer
        for said, remedy in faults_of(answer, case, dtype or self.dtype, variant.learned[0], WEIGHT):
            return _fix(step, said, remedy)
        learned = variant.learned[0]
        shape = case.inputs[learned].shape if learned in case.inputs else variant.shapes[variant.first]
        shown = " x ".join(str(size) for size in shape)
        alone = "" if "loss" in answer.data else "; it reports no tops, so that only nets of one layer can be judged"
        return _right(step, f"{variant.loss.type} on {shown}, {dtype or self.dtype}: total {answer.loss:g}{alone}")

    def _answer(self, step: str, case: Case, dtype: str) -> Outcome | Found:
        try:
            answer = self.implementation.run(case, dtype)
        except DoesNotStart as error:
            return _fix(
                step, f"it does not start again: {error}", "a start must not depend on the one before", error.detail
            )
        except ImplementationError as error:
            return _fix(step, _sentence(error), _REMEDIES.get(type(error), ""), error.detail)
        if isinstance(answer, Refusal):
            said = f"refused at {answer.third_party_stage}: {answer.message}"
            return _fix(step, said, "this net is one that Caffe runs: refuse only what cannot be computed")
        return answer


STEPS: Mapping[str, Callable[[Bench], Found]] = {
    "describe": Bench.describe,
    "plain": Bench.plain,
    "spatial": Bench.spatial,
    "reshape": Bench.reshape,
    "not-finite": Bench.not_finite,
    "passes": Bench.passes,
    "second-dtype": Bench.dtype_two,
    "files": Bench.files,
    "refusal": Bench.refusal,
    "error": Bench.error,
    "restart": Bench.restart,
}
"""Every step by its name; each stands on its own."""


def _sentence(error: ImplementationError) -> str:
    kind = {Crash: "crashed", TimedOut: "timed out", ProtocolError: "no answer", Unsupported: "unsupported"}
    return f"{kind.get(type(error), 'failed')}: {error.reason}"


def _right(step: str, said: str) -> Found:
    return Found(step, State.RIGHT, said)


def _fix(step: str, said: str, remedy: str, detail: str = "") -> Found:
    return Found(step, State.FIX, said, remedy, detail)


def _skipped(step: str, why: str) -> Found:
    return Found(step, State.SKIPPED, why)
