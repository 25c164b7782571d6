"""Requirements on the loss layers: ``<stem>.<facet>``, one sentence for all losses that it can be said of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from conformance.contract.requirement import LAYER, LOSS_TUTORIAL, MUST, NET, PROTO, SHOULD, Requirement
from conformance.contract.verdict import Level
from conformance.losses import KNOWN, Loss
from conformance.losses.roles import Matrix, NearestLabels, Scores, Similarity

__all__ = ["FACETS", "LOSS_REQUIREMENTS", "Facet", "requirements_of"]

_COMPUTING = "{cpp} Forward_cpu, Backward_cpu"
_CLASS = "{hpp} class comment"
_FORWARD = "{cpp} Forward_cpu"
_NORMALIZER = "src/caffe/layers/loss_layer.cpp GetNormalizer"
_RESHAPE = "src/caffe/layers/loss_layer.cpp Reshape"


@dataclass(frozen=True)
class Facet:
    """A sentence about each loss of which ``of`` holds; it and its citation are templates over `_words`."""

    name: str
    statement: str
    citation: str
    of: Callable[[Loss], object] = lambda loss: True
    level: Level = MUST
    since: str = "1"

    def requirement(self, loss: Loss) -> Requirement:
        """The facet as a requirement on a loss."""
        words = _words(loss)
        citation = self.citation.format(**words)
        statement = self.statement.format(**words)
        return Requirement(f"{loss.stem}.{self.name}", statement, self.level, citation, self.since)


def _words(loss: Loss) -> dict[str, str]:
    """What templates may name: the type, what it computes, its files in Caffe's tree, options, a matrix's place."""
    matrix = loss.bottom(Matrix)
    index = 0 if matrix is None else loss.bottoms.index(matrix)
    axis, file = loss.axis_option, "" if matrix is None else matrix.file
    file_stem = loss.source or loss.stem
    fork = next((f"{form.citation.partition(' ')[0]} " for form in loss.layer.forms), "")
    return {
        "type": loss.title,
        "forward": loss.forward,
        "backward": loss.backward,
        "cpp": f"{fork}src/caffe/layers/{file_stem}_layer.cpp",
        "hpp": f"{fork}include/caffe/layers/{file_stem}_layer.hpp",
        "axis": axis,
        "axis_field": f"{PROTO} {_field(axis)}",
        "file": file,
        "file_field": f"{PROTO} {_field(file)}",
        "matrix": ("first", "second", "third", "fourth")[index],
        "with_matrix": ("one", "two", "three", "four")[index],
        "without_matrix": ("no", "one", "two", "three")[index],
    }


def _field(option: str) -> str:
    """An option as caffe.proto declares it: ``softmax_param.axis`` is SoftmaxParameter.axis."""
    message, _, field = option.partition(".")
    return f"{message.removesuffix('param').title().replace('_', '')}Parameter.{field}"


def _of_items(loss: Loss) -> bool:
    return loss.unit == "sample" and loss.labelled and "rows" not in loss.traits


def _flattened(loss: Loss) -> bool:
    role = loss.bottoms[0].role
    return _of_items(loss) and not (isinstance(role, Scores) and role.classes_on is not None)


def _weighs(loss: Loss) -> bool:
    return loss.feeds is None


def _feeds(loss: Loss) -> bool:
    return loss.feeds is not None


def _rounded(loss: Loss) -> bool:
    return isinstance(loss.answer.role, NearestLabels)


_OF_THE_FORMULA = (
    Facet(
        "normalization",
        "{type} divides by the count that loss_param.normalization names: FULL, VALID, BATCH_SIZE or NONE, at least 1.",
        f"{PROTO} LossParameter.normalization; {_NORMALIZER}",
        lambda loss: loss.default_mode,
    ),
    Facet(
        "default-normalization",
        "{type} without a normalization divides by the number of positions that are not ignored.",
        f"{PROTO} LossParameter.normalization",
        lambda loss: loss.default_mode == "VALID" and loss.answer.role.by_item,
    ),
    Facet(
        "default-normalization",
        "{type} without a normalization divides by the batch size.",
        "{cpp} LayerSetUp",
        lambda loss: loss.default_mode == "BATCH_SIZE",
    ),
    Facet(
        "deprecated-normalize",
        "{type} reads normalize: true as VALID and normalize: false as BATCH_SIZE where normalization is not set.",
        f"{PROTO} LossParameter.normalize",
        lambda loss: loss.normalize_option,
    ),
    Facet(
        "ignore-label",
        "What {type} finds labelled with ignore_label adds nothing to the loss, has gradient 0 and is not counted "
        "as VALID.",
        f"{PROTO} LossParameter.ignore_label",
        lambda loss: loss.ignores,
    ),
    Facet(
        "all-ignored",
        "{type}'s loss and gradients are 0 where everything is ignored.",
        _NORMALIZER,
        lambda loss: loss.ignores,
    ),
    Facet(
        "axis",
        "{type}'s classes lie along {axis}, negative counted from the end.",
        "{axis_field}",
        lambda loss: loss.axis_option and "weighted-classes" not in loss.traits,
    ),
    Facet(
        "spatial",
        "{type} classifies every position beside the class axis on its own.",
        _FORWARD,
        lambda loss: loss.unit == "position",
    ),
    Facet("spatial", "{type} takes all entries of an item as its classes, in row-major order.", _CLASS, _flattened),
    Facet("spatial", "{type} sums over all axes after the first.", _CLASS, lambda loss: loss.unit == "entry"),
    Facet(
        "single-class",
        "{type}'s loss and gradients are 0 where there is a single class.",
        _FORWARD,
        lambda loss: loss.unit == "position",
    ),
    Facet("single-class", "{type} computes its formula for a single class.", _FORWARD, _of_items),
    Facet(
        "label-shape",
        "{type} compares the counts of its bottoms and not their axes after the first.",
        "{cpp} Reshape",
        lambda loss: loss.unit != "sample",
    ),
    Facet(
        "label-truncation",
        "{type} truncates labels toward zero before it uses or compares them.",
        _FORWARD,
        lambda loss: loss.labelled and not _rounded(loss),
    ),
    Facet("label-truncation", "{type} rounds labels to the nearest class before it uses them.", _FORWARD, _rounded),
    Facet(
        "fractional-targets",
        "{type} takes a target between 0 and 1 as the probability that it is.",
        _CLASS,
        lambda loss: loss.graded,
    ),
)
"""What is summed, over what it is divided, and how bottoms are read."""

_OF_EDGES = (
    Facet(
        "saturation",
        "{type} gives finite losses and gradients for scores of any finite size that its formula gives a finite "
        "loss for.",
        _FORWARD,
        lambda loss: "saturates" in loss.traits,
    ),
    Facet(
        "matrix-bottom",
        "{type} with {with_matrix} bottoms takes its matrix from the {matrix}, whatever source says.",
        _CLASS,
        lambda loss: loss.bottom(Matrix),
    ),
    Facet(
        "matrix-file",
        "{type} with {without_matrix} bottoms takes its matrix from the BlobProto file that {file} names.",
        "{file_field}",
        lambda loss: loss.bottom(Matrix),
    ),
    Facet(
        "softmax-top",
        "The second top of {type} is the softmax of its scores.",
        f"{LOSS_TUTORIAL}; {_FORWARD}",
        lambda loss: loss.two_tops,
    ),
    Facet(
        "ignores-loss-param",
        "{type} computes the same with and without a loss_param.",
        f"{PROTO} LossParameter.normalization; {{cpp}}",
        lambda loss: not loss.reads_loss_param,
    ),
    Facet(
        "similarity-truncation",
        "{type} truncates the similarity toward zero and takes all but 0 as similar.",
        _FORWARD,
        lambda loss: loss.bottom(Similarity),
    ),
)
"""What else follows from bottoms, tops and options."""

_OF_EVERY_LOSS = (
    Facet(
        "loss-weight",
        "{type}'s part of the net's loss and its gradients carry the layer's loss_weight as a factor.",
        f"{LOSS_TUTORIAL}; {PROTO} LayerParameter.loss_weight",
        _weighs,
    ),
    Facet(
        "loss-weight",
        "The gradients of {type} carry the loss_weight of the loss that it feeds as a factor.",
        f"{LOSS_TUTORIAL}; {{cpp}} Backward_cpu",
        _feeds,
    ),
    Facet(
        "no-implicit-weight",
        "{type} without a loss_weight adds nothing to the net's loss and nothing to any gradient.",
        f"{{cpp}}; {LAYER} SetLossWeights",
        lambda loss: not loss.weighing.implicit_weight,
    ),
    Facet(
        "no-implicit-weight",
        "{type} without a loss_weight adds nothing to the net's loss: the loss that it feeds does.",
        f"{{cpp}}; {LAYER} SetLossWeights",
        _feeds,
    ),
    Facet(
        "weight-scaling",
        "A loss_weight that is a power of two scales {type}'s part of the loss and its gradients without a rounding "
        "error.",
        f"{LOSS_TUTORIAL}; {LAYER} SetLossWeights",
        _weighs,
    ),
    Facet(
        "weight-scaling",
        "A power of two as the loss_weight of the loss that {type} feeds scales its gradients without a rounding "
        "error.",
        f"{LOSS_TUTORIAL}; {LAYER} SetLossWeights",
        _feeds,
    ),
    Facet(
        "zero-weight-removed",
        "{type} with loss_weight 0 leaves the net's loss and the gradients of shared blobs as they are without the "
        "layer.",
        f"{LOSS_TUTORIAL}; {NET} Init",
        _weighs,
    ),
    Facet(
        "zero-weight-removed",
        "{type} that feeds a loss of loss_weight 0 leaves the net's loss and the gradients of shared blobs as they are "
        "without either.",
        f"{LOSS_TUTORIAL}; {NET} Init",
        _feeds,
    ),
    Facet(
        "gradient",
        "The bottom gradients of {type} are the derivative of the net's reported loss, or Caffe's formula where the "
        "two differ.",
        f"{LOSS_TUTORIAL}; {{cpp}} Backward_cpu",
    ),
    Facet(
        "bias",
        "The rounding errors of {type} do not lean to one side over a whole array.",
        _COMPUTING,
        level=SHOULD,
    ),
    Facet(
        "nonfinite",
        "A NaN or an infinity in {type}'s bottoms spreads to the tops and gradients that its formula gives, and to "
        "no other.",
        f"{_COMPUTING}; IEEE 754 section 6",
    ),
    Facet("single-item", "{type} computes its formula for a batch of one.", _CLASS),
    Facet(
        "large-shapes",
        "{type} computes its formula for thousands of items, entries and positions, whole blocks of them or not.",
        f"{_COMPUTING}; include/caffe/util/device_alternate.hpp CUDA_KERNEL_LOOP",
    ),
    Facet(
        "sum-accuracy",
        "The loss of {type} over thousands of unlike terms is as near to the exact sum, over what counts, as any order "
        "of adding them up brings it.",
        _FORWARD,
        _weighs,
        since="2",
    ),
    Facet(
        "large-count-accuracy",
        "The loss of {type} over millions of entries is as near to the exact sum as a blocked or wider accumulation "
        "brings it.",
        _FORWARD,
        lambda loss: loss.large_count,
        level=SHOULD,
    ),
    Facet(
        "propagate-down",
        "{type} sends gradients into the bottoms that propagate_down marks true and changes no gradient of the others.",
        f"{PROTO} LayerParameter.propagate_down; {LAYER} Backward",
    ),
    Facet(
        "contract-overwrite",
        "The backward pass of {type} overwrites the bottoms' diffs, whatever they held.",
        f"{{cpp}} Backward_cpu; {LAYER} Backward",
    ),
    Facet(
        "contract-inputs-unchanged",
        "Neither pass of {type} changes the data of its bottoms.",
        f"{LAYER} Forward, Backward",
    ),
    Facet(
        "contract-repeat-forward",
        "A second forward pass of {type} on the same bottoms gives the same top and the same gradients after it.",
        f"{LAYER} Forward",
    ),
    Facet(
        "contract-repeat-backward",
        "A second backward pass of {type} on the same bottoms gives the same bottom gradients.",
        f"{LAYER} Backward",
    ),
    Facet(
        "contract-batch-change",
        "{type} computes its formula for the batch it is given, larger or smaller than the one before.",
        f"{LAYER} Reshape",
    ),
    Facet(
        "contract-passes",
        "{type} computes each pass from what its bottoms and tops hold in it: of an earlier batch nothing is left.",
        f"{LAYER} Forward, Backward",
        since="2",
    ),
    Facet(
        "contract-siblings",
        "Several {type} in a net, or one beside another loss, compute what each does alone: they share only code.",
        f"{LAYER} Forward, Backward",
        since="2",
    ),
    Facet(
        "label-shapes",
        "{type} gives one result for all the shapes of labels or targets that Caffe accepts for the same values.",
        f"{{cpp}} LayerSetUp, Reshape; {_RESHAPE}",
        lambda loss: loss.answer.role.by_item,
    ),
    Facet(
        "top-shape",
        "The first top of {type} is a scalar without axes.",
        f"{LOSS_TUTORIAL}; {_RESHAPE}",
        _weighs,
        level=SHOULD,
    ),
    Facet(
        "top-shape",
        "The first top of {type} has the axes of its first bottom.",
        "{cpp} Reshape",
        _feeds,
        level=SHOULD,
    ),
)

FACETS = (*_OF_THE_FORMULA, *_OF_EDGES, *_OF_EVERY_LOSS)
"""Every facet that more than one loss can have."""


def requirements_of(loss: Loss) -> Iterator[Requirement]:
    """Every requirement on one loss."""
    yield Facet("forward", "{forward}", f"{_CLASS}; {_FORWARD}").requirement(loss)
    yield Facet("backward", "{backward}", "{hpp} Backward_cpu comment; {cpp} Backward_cpu").requirement(loss)
    yield from (facet.requirement(loss) for facet in _OF_THE_FORMULA if facet.of(loss))
    yield from (own for own in loss.requirements if own.id.startswith(f"{loss.stem}."))
    yield from (facet.requirement(loss) for facet in (*_OF_EDGES, *_OF_EVERY_LOSS) if facet.of(loss))


def _dated(loss: Loss, requirement: Requirement) -> Requirement:
    """No loss of a fork was asked for by the first suite."""
    return replace(requirement, since="2") if loss.layer.forms and requirement.since == "1" else requirement


LOSS_REQUIREMENTS = tuple(_dated(loss, requirement) for loss in KNOWN.values() for requirement in requirements_of(loss))
