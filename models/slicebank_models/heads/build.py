"""From a specification to an initialised head."""

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.abmil import AttentionHead
from slicebank_models.heads.head import Head
from slicebank_models.heads.head_spec import Architecture, HeadSpec
from slicebank_models.heads.scaled import ScaledHead
from slicebank_models.heads.scan import ScanHead
from slicebank_models.heads.spec import TaskKind, TaskSpec


def build_head(spec: HeadSpec, level: EncoderLevel, dim: int, task: TaskSpec) -> Head:
    """Returns an initialised head; torch's random state decides its weights.

    Args:
        spec: Architecture and sizes.
        level: What a row describes; slice rows are pooled, a scan's one row is not.
        dim: Length of the rows.
        task: With its outputs' final names.

    Raises:
        BadTrainingValue: The architecture does not read such rows, or cannot learn such a task.
    """
    head = _build(spec.resolved(level, task.kind), dim, task.n_outputs)
    scaled = task.kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL)
    return ScaledHead(head, task.n_outputs) if scaled else head


def _build(spec: HeadSpec, dim: int, n_outputs: int) -> Head:
    match spec.architecture:
        case Architecture.ABMIL | Architecture.GATED_ABMIL:
            gated = spec.architecture is Architecture.GATED_ABMIL
            return AttentionHead(dim, n_outputs, spec.width, spec.dropout, gated=gated)
        case Architecture.LINEAR | Architecture.MLP:
            linear = spec.architecture is Architecture.LINEAR
            return ScanHead(dim, n_outputs, spec.width, spec.dropout, linear=linear)
    raise NotImplementedError(spec.architecture)
