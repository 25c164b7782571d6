"""Which findings speak for which requirement.

A finding about a layer decides the requirements on that layer, one about the net's bookkeeping those on the net; so a
wrong formula does not fail what the net does, and a lost weight does not fail a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conformance.judge.finding import Finding
from conformance.losses import KNOWN, loss_of_type

__all__ = ["owner", "serves"]

_PLUMBING = ("Split", "Silence", "Parameter", "DummyData")
_FORMAL = ("shape", "structure", "stage")
_STAGES = ("parse", "setup", "forward", "backward")
_EITHER_SIDE = ("second-softmax-top", "matrix-gradient")
_Test = Callable[[Finding], bool]


def _kind(*kinds: str) -> _Test:
    return lambda finding: finding.kind in kinds


def _bookkeeping(finding: Finding) -> bool:
    plumbing = finding.layer_type in _PLUMBING and finding.kind in ("forward", "backward")
    return finding.kind in ("total", "weight") or finding.by_weight or plumbing


def _reach(finding: Finding) -> bool:
    """Whether gradients are where they should be: a gradient of wrong value is there, one that is all zeros is not."""
    return finding.kind == "unasked" or (
        finding.kind in ("backward", "parameter") and (finding.accepted or finding.absent)
    )


_LOSS: dict[str, _Test] = {
    "forward": _kind("forward"),
    "top-shape": _kind("shape"),
    "bias": _kind("bias"),
    **dict.fromkeys(
        ("backward", "gradient", "kink", "contract-overwrite", "contract-repeat-backward", "propagate-down"),
        _kind("backward"),
    ),
}
"""Where a facet of a loss layer is about less than its tops and gradients."""

_ABOUT_WEIGHTS = ("loss-weight", "no-implicit-weight", "weight-scaling", "zero-weight-removed")

_NET_ABOUT_WEIGHTS = (
    "consumed-loss-top",
    "explicit-loss-weight",
    "implicit-loss-weight",
    "multi-top",
    "non-loss-weight",
    "sibling-weights",
    "top-diff-is-the-weight",
    "zero-loss-weight",
)
"""Facets of the net that a gradient fails which lacks its weight, and nothing else."""

_NET: dict[str, _Test] = {
    "structure": _kind("structure"),
    "unasked-diff": _kind("unasked"),
    "top-shape": _kind("shape"),
    "inputs-unchanged": _kind("input"),
    "parameter-gradient": _kind("parameter"),
    "shared-parameters": _kind("parameter"),
    "bottom-diff-overwritten": _kind("backward", "unasked"),
    "in-place": lambda f: not loss_of_type(f.layer_type) and f.kind in ("forward", "backward"),
    "split": lambda f: f.layer_type == "Split" or f.kind == "total",
    **dict.fromkeys(("repeated-passes", "passes"), _kind("total", "backward", "parameter", "weight")),
    "reshape": _kind("total", "forward", "backward", "weight"),
    **dict.fromkeys(("who-runs-backward", "force-backward", "propagate-down", "learning-rate-zero"), _reach),
}
"""Where a facet of the net is about something else than loss and weights."""


def serves(finding: Finding, requirement: str) -> bool:
    """Whether the finding decides the requirement; a refusal of what Caffe runs decides all of a case's."""
    subject, _, facet = requirement.partition(".")
    if finding.kind == "refused":
        return True
    if subject == "refusal" and facet not in _EITHER_SIDE:
        return finding.kind == "refusal" or (finding.kind == "stage" and facet in _STAGES)
    if subject == "layer-contract":
        return False  # decided by relations between runs, and never by a formula
    if finding.by_weight and subject == "net":
        return facet in _NET_ABOUT_WEIGHTS and (facet != "non-loss-weight" or not loss_of_type(finding.layer_type))
    if finding.by_weight and subject == "properties":
        return False
    if subject in ("refusal", "quirk", "properties", "determinism"):
        return finding.kind not in _FORMAL
    if subject == "layer":
        formula = finding.kind in ("forward", "backward", "parameter", "bias") and not finding.by_weight
        return formula and finding.layer_type == facet
    if subject == "net":
        return _NET.get(facet, _bookkeeping)(finding)
    return _serves_loss(finding, KNOWN[subject].type, facet)


def _serves_loss(finding: Finding, layer_type: str, facet: str) -> bool:
    if facet == "contract-inputs-unchanged":
        return finding.kind == "input"
    if facet in _ABOUT_WEIGHTS and finding.kind == "total":
        return True
    if finding.layer_type != layer_type:
        return False
    if finding.by_weight or finding.kind == "weight":
        return facet in _ABOUT_WEIGHTS
    return _LOSS.get(facet, _kind("forward", "backward"))(finding)


def owner(finding: Finding, forms: Sequence[str] = ()) -> str:
    """The requirement that a finding fails where a case, judged under ``forms``, names none that it serves."""
    loss = loss_of_type(finding.layer_type, forms)
    if finding.by_weight:
        return f"{loss.stem}.loss-weight" if loss else "net.explicit-loss-weight"
    owners = {
        "total": "net.total-loss",
        "weight": "net.top-diff-is-the-weight",
        "unasked": "net.unasked-diff",
        "input": "net.inputs-unchanged",
        "parameter": "net.parameter-gradient",
        "shape": "net.top-shape",
        "structure": "net.structure",
        "refused": "net.total-loss",
        "refusal": "refusal.setup",
        "stage": "refusal.setup",
    }
    return owners.get(finding.kind) or (f"{loss.stem}.{finding.kind}" if loss else f"layer.{finding.layer_type}")
