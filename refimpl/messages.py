"""The messages of Caffe's `caffe.proto` (BVLC master) that matter to a loss: fields, types, defaults and enums.

Blocks that no loss and no layer around one reads (`transform_param`, `data_param`, a third party's own) are kept as
written in `LayerParameter.extra`.
"""

from __future__ import annotations

from refimpl.schema import (
    Extra,
    Message,
    Own,
    boolean,
    enum,
    extra,
    floating,
    int32,
    int64,
    message,
    own,
    raw,
    repeated,
    string,
    uint32,
)
from refimpl.textformat import Block

__all__ = [
    "AccuracyParameter",
    "ArgMaxParameter",
    "BiasParameter",
    "BlobShape",
    "ConcatParameter",
    "ContrastiveLossParameter",
    "DropoutParameter",
    "DummyDataParameter",
    "ELUParameter",
    "EltwiseParameter",
    "ExpParameter",
    "FillerParameter",
    "FlattenParameter",
    "HingeLossParameter",
    "InfogainLossParameter",
    "InnerProductParameter",
    "InputParameter",
    "LayerParameter",
    "LogParameter",
    "LossParameter",
    "NetParameter",
    "NetState",
    "NetStateRule",
    "ParamSpec",
    "ParameterParameter",
    "PowerParameter",
    "PythonParameter",
    "ReLUParameter",
    "ReductionParameter",
    "ReshapeParameter",
    "ScaleParameter",
    "SigmoidParameter",
    "SliceParameter",
    "SoftmaxParameter",
    "TanHParameter",
    "V1LayerParameter",
]


def _phase(default: str = "TRAIN") -> str:
    return enum(default, TRAIN=0, TEST=1)


def _engine() -> str:
    return enum("DEFAULT", DEFAULT=0, CAFFE=1, CUDNN=2)


class BlobShape(Message):
    dim: tuple[int, ...] = repeated(int64())


class FillerParameter(Message):
    type: str = string("constant")
    value: float = floating(0)
    min: float = floating(0)
    max: float = floating(1)
    mean: float = floating(0)
    std: float = floating(1)
    sparse: int = int32(-1)
    variance_norm: str = enum("FAN_IN", FAN_IN=0, FAN_OUT=1, AVERAGE=2)


class NetState(Message):
    phase: str = _phase("TEST")
    level: int = int32(0)
    stage: tuple[str, ...] = repeated(string())


class NetStateRule(Message):
    phase: str = _phase()
    min_level: int = int32()
    max_level: int = int32()
    stage: tuple[str, ...] = repeated(string())
    not_stage: tuple[str, ...] = repeated(string())


class ParamSpec(Message):
    name: str = string()
    share_mode: str = enum("STRICT", STRICT=0, PERMISSIVE=1)
    lr_mult: float = floating(1)
    decay_mult: float = floating(1)


class LossParameter(Message):
    ignore_label: int = int32()
    normalization: str = enum("VALID", FULL=0, VALID=1, BATCH_SIZE=2, NONE=3)
    normalize: bool = boolean()


class AccuracyParameter(Message):
    top_k: int = uint32(1)
    axis: int = int32(1)
    ignore_label: int = int32()


class ArgMaxParameter(Message):
    out_max_val: bool = boolean(False)
    top_k: int = uint32(1)
    axis: int = int32()


class BiasParameter(Message):
    axis: int = int32(1)
    num_axes: int = int32(1)
    filler: FillerParameter = message(FillerParameter)


class ConcatParameter(Message):
    axis: int = int32(1)
    concat_dim: int = uint32(1)


class ContrastiveLossParameter(Message):
    margin: float = floating(1)
    legacy_version: bool = boolean(False)


class DropoutParameter(Message):
    dropout_ratio: float = floating(0.5)


class DummyDataParameter(Message):
    data_filler: tuple[FillerParameter, ...] = repeated(message(FillerParameter))
    shape: tuple[BlobShape, ...] = repeated(message(BlobShape))
    num: tuple[int, ...] = repeated(uint32())
    channels: tuple[int, ...] = repeated(uint32())
    height: tuple[int, ...] = repeated(uint32())
    width: tuple[int, ...] = repeated(uint32())


class EltwiseParameter(Message):
    operation: str = enum("SUM", PROD=0, SUM=1, MAX=2)
    coeff: tuple[float, ...] = repeated(floating())
    stable_prod_grad: bool = boolean(True)


class ELUParameter(Message):
    alpha: float = floating(1)


class ExpParameter(Message):
    base: float = floating(-1)
    scale: float = floating(1)
    shift: float = floating(0)


class FlattenParameter(Message):
    axis: int = int32(1)
    end_axis: int = int32(-1)


class HingeLossParameter(Message):
    norm: str = enum("L1", L1=1, L2=2)


class InfogainLossParameter(Message):
    source: str = string()
    axis: int = int32(1)


class InnerProductParameter(Message):
    num_output: int = uint32()
    bias_term: bool = boolean(True)
    weight_filler: FillerParameter = message(FillerParameter)
    bias_filler: FillerParameter = message(FillerParameter)
    axis: int = int32(1)
    transpose: bool = boolean(False)


class InputParameter(Message):
    shape: tuple[BlobShape, ...] = repeated(message(BlobShape))


class LogParameter(Message):
    base: float = floating(-1)
    scale: float = floating(1)
    shift: float = floating(0)


class ParameterParameter(Message):
    shape: BlobShape = message(BlobShape)


class PowerParameter(Message):
    power: float = floating(1)
    scale: float = floating(1)
    shift: float = floating(0)


class PythonParameter(Message):
    module: str = string()
    layer: str = string()
    param_str: str = string("")
    share_in_parallel: bool = boolean(False)


class ReductionParameter(Message):
    operation: str = enum("SUM", SUM=1, ASUM=2, SUMSQ=3, MEAN=4)
    axis: int = int32(0)
    coeff: float = floating(1)


class ReLUParameter(Message):
    negative_slope: float = floating(0)
    engine: str = _engine()


class ReshapeParameter(Message):
    shape: BlobShape = message(BlobShape)
    axis: int = int32(0)
    num_axes: int = int32(-1)


class ScaleParameter(Message):
    axis: int = int32(1)
    num_axes: int = int32(1)
    filler: FillerParameter = message(FillerParameter)
    bias_term: bool = boolean(False)
    bias_filler: FillerParameter = message(FillerParameter)


class SigmoidParameter(Message):
    engine: str = _engine()


class SliceParameter(Message):
    axis: int = int32(1)
    slice_point: tuple[int, ...] = repeated(uint32())
    slice_dim: int = uint32(1)


class SoftmaxParameter(Message):
    engine: str = _engine()
    axis: int = int32(1)


class TanHParameter(Message):
    engine: str = _engine()


class LayerParameter(Message):
    name: str = string()
    type: str = string()
    bottom: tuple[str, ...] = repeated(string())
    top: tuple[str, ...] = repeated(string())
    phase: str = _phase()
    loss_weight: tuple[float, ...] = repeated(floating())
    param: tuple[ParamSpec, ...] = repeated(message(ParamSpec))
    blobs: tuple[Block, ...] = repeated(raw())
    propagate_down: tuple[bool, ...] = repeated(boolean())
    include: tuple[NetStateRule, ...] = repeated(message(NetStateRule))
    exclude: tuple[NetStateRule, ...] = repeated(message(NetStateRule))
    loss_param: LossParameter = message(LossParameter)
    accuracy_param: AccuracyParameter = message(AccuracyParameter)
    argmax_param: ArgMaxParameter = message(ArgMaxParameter)
    bias_param: BiasParameter = message(BiasParameter)
    concat_param: ConcatParameter = message(ConcatParameter)
    contrastive_loss_param: ContrastiveLossParameter = message(ContrastiveLossParameter)
    dropout_param: DropoutParameter = message(DropoutParameter)
    dummy_data_param: DummyDataParameter = message(DummyDataParameter)
    eltwise_param: EltwiseParameter = message(EltwiseParameter)
    elu_param: ELUParameter = message(ELUParameter)
    exp_param: ExpParameter = message(ExpParameter)
    flatten_param: FlattenParameter = message(FlattenParameter)
    hinge_loss_param: HingeLossParameter = message(HingeLossParameter)
    infogain_loss_param: InfogainLossParameter = message(InfogainLossParameter)
    inner_product_param: InnerProductParameter = message(InnerProductParameter)
    input_param: InputParameter = message(InputParameter)
    log_param: LogParameter = message(LogParameter)
    parameter_param: ParameterParameter = message(ParameterParameter)
    power_param: PowerParameter = message(PowerParameter)
    python_param: PythonParameter = message(PythonParameter)
    reduction_param: ReductionParameter = message(ReductionParameter)
    relu_param: ReLUParameter = message(ReLUParameter)
    reshape_param: ReshapeParameter = message(ReshapeParameter)
    scale_param: ScaleParameter = message(ScaleParameter)
    sigmoid_param: SigmoidParameter = message(SigmoidParameter)
    slice_param: SliceParameter = message(SliceParameter)
    softmax_param: SoftmaxParameter = message(SoftmaxParameter)
    tanh_param: TanHParameter = message(TanHParameter)
    extra: Extra = extra()
    own: Own = own()


class V1LayerParameter(Message):
    """The layer of nets written before `layer { type: "..." }`; `refimpl.upgrade` turns it into a `LayerParameter`."""

    bottom: tuple[str, ...] = repeated(string())
    top: tuple[str, ...] = repeated(string())
    name: str = string()
    include: tuple[NetStateRule, ...] = repeated(message(NetStateRule))
    exclude: tuple[NetStateRule, ...] = repeated(message(NetStateRule))
    # fmt: off
    type: str = enum(
        "NONE", NONE=0, ABSVAL=35, ACCURACY=1, ARGMAX=30, BNLL=2, CONCAT=3, CONTRASTIVE_LOSS=37, CONVOLUTION=4, DATA=5,
        DECONVOLUTION=39, DROPOUT=6, DUMMY_DATA=32, EUCLIDEAN_LOSS=7, ELTWISE=25, EXP=38, FLATTEN=8, HDF5_DATA=9,
        HDF5_OUTPUT=10, HINGE_LOSS=28, IM2COL=11, IMAGE_DATA=12, INFOGAIN_LOSS=13, INNER_PRODUCT=14, LRN=15,
        MEMORY_DATA=29, MULTINOMIAL_LOGISTIC_LOSS=16, MVN=34, POOLING=17, POWER=26, RELU=18, SIGMOID=19,
        SIGMOID_CROSS_ENTROPY_LOSS=27, SILENCE=36, SOFTMAX=20, SOFTMAX_LOSS=21, SPLIT=22, SLICE=33, TANH=23,
        WINDOW_DATA=24, THRESHOLD=31,
    )
    # fmt: on
    blobs: tuple[Block, ...] = repeated(raw())
    param: tuple[str, ...] = repeated(string())
    blob_share_mode: tuple[str, ...] = repeated(enum("STRICT", STRICT=0, PERMISSIVE=1))
    blobs_lr: tuple[float, ...] = repeated(floating())
    weight_decay: tuple[float, ...] = repeated(floating())
    loss_weight: tuple[float, ...] = repeated(floating())
    loss_param: LossParameter = message(LossParameter)
    accuracy_param: AccuracyParameter = message(AccuracyParameter)
    argmax_param: ArgMaxParameter = message(ArgMaxParameter)
    concat_param: ConcatParameter = message(ConcatParameter)
    contrastive_loss_param: ContrastiveLossParameter = message(ContrastiveLossParameter)
    dropout_param: DropoutParameter = message(DropoutParameter)
    dummy_data_param: DummyDataParameter = message(DummyDataParameter)
    eltwise_param: EltwiseParameter = message(EltwiseParameter)
    exp_param: ExpParameter = message(ExpParameter)
    hinge_loss_param: HingeLossParameter = message(HingeLossParameter)
    infogain_loss_param: InfogainLossParameter = message(InfogainLossParameter)
    inner_product_param: InnerProductParameter = message(InnerProductParameter)
    power_param: PowerParameter = message(PowerParameter)
    relu_param: ReLUParameter = message(ReLUParameter)
    sigmoid_param: SigmoidParameter = message(SigmoidParameter)
    slice_param: SliceParameter = message(SliceParameter)
    softmax_param: SoftmaxParameter = message(SoftmaxParameter)
    tanh_param: TanHParameter = message(TanHParameter)
    layer: Block = raw()
    extra: Extra = extra()


class NetParameter(Message):
    """A net; once parsed, `layers`, `input`, `input_shape` and `input_dim` have been upgraded into `layer`."""

    name: str = string()
    input: tuple[str, ...] = repeated(string())
    input_shape: tuple[BlobShape, ...] = repeated(message(BlobShape))
    input_dim: tuple[int, ...] = repeated(int32())
    force_backward: bool = boolean(False)
    state: NetState = message(NetState)
    debug_info: bool = boolean(False)
    layer: tuple[LayerParameter, ...] = repeated(message(LayerParameter))
    layers: tuple[V1LayerParameter, ...] = repeated(message(V1LayerParameter))
