"""Which findings speak for which requirement."""

from __future__ import annotations

from collections.abc import Callable

from conformance.finding import Finding

__all__ = ["STEMS", "serves"]

STEMS = {
    "contrastive_loss": "ContrastiveLoss",
    "euclidean_loss": "EuclideanLoss",
    "hinge_loss": "HingeLoss",
    "infogain_loss": "InfogainLoss",
    "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "sigmoid_cross_entropy_loss": "SigmoidCrossEntropyLoss",
    "softmax_with_loss": "SoftmaxWithLoss",
}
"""A loss layer's stem, as files and ids have it, and its type."""

_NET_LAYERS = ("net", "Split", "Silence", "Input", "Parameter", "DummyData")
_Test = Callable[[Finding], bool]


def _about_the_net(finding: Finding) -> bool:
    return finding.layer_type in _NET_LAYERS or finding.kind in ("weight", "unasked", "input") or finding.by_weight


def _kind(*kinds: str) -> _Test:
    return lambda finding: finding.kind in kinds


_NET: dict[str, _Test] = {
    "structure": _kind("structure"),
    "unasked-diff": _kind("unasked"),
    "top-shape": lambda f: f.kind == "shape",
    "inputs-unchanged": _kind("input"),
    "parameter-gradient": _kind("parameter"),
    "learning-rate-zero": _kind("parameter", "unasked"),
    "shared-parameters": _kind("parameter"),
    "top-diff-is-the-weight": lambda f: f.kind in ("weight", "total") or f.by_weight,
    "bottom-diff-overwritten": lambda f: f.kind in ("backward", "unasked"),
    "in-place": lambda f: f.layer_type not in STEMS.values() and f.kind in ("forward", "backward"),
    "multi-top": lambda f: f.kind in ("total", "weight") or f.by_weight,
    "split": lambda f: f.layer_type == "Split" or f.kind == "total",
    "repeated-passes": lambda f: f.kind in ("total", "backward", "weight"),
    "reshape": lambda f: f.kind in ("total", "shape", "forward", "backward"),
    "who-runs-backward": lambda f: f.kind in ("backward", "parameter", "unasked"),
    "force-backward": lambda f: f.kind in ("backward", "parameter", "unasked"),
    "propagate-down": lambda f: f.kind in ("backward", "parameter", "unasked"),
}
"""Where a requirement on the net is narrower than "about the net"."""


def serves(finding: Finding, requirement: str) -> bool:
    """Whether the finding decides the requirement. An unwanted refusal decides all of a case's requirements."""
    subject, _, facet = requirement.partition(".")
    if finding.kind == "refusal" or subject == "refusal":
        return finding.kind == "refusal"
    if subject == "layer":
        return finding.layer_type == facet and finding.kind != "structure"
    if subject == "quirk":
        return finding.kind != "structure"
    if subject in ("properties", "determinism"):
        return finding.kind not in ("structure", "unasked")
    if subject == "net":
        return _NET.get(facet, _about_the_net)(finding) and (facet == "structure" or finding.kind != "structure")
    if finding.layer_type != STEMS[subject] or finding.kind in ("structure", "unasked"):
        return False
    if finding.by_weight or finding.kind == "weight":
        return facet == "loss-weight"
    if facet == "forward":
        return finding.kind in ("forward", "shape")
    if facet == "backward":
        return finding.kind in ("backward", "parameter")
    return True
