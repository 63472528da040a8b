"""From a specification to an initialised head."""

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.abmil import AttentionHead
from slicebank_models.heads.clam import ClamHead
from slicebank_models.heads.head import Head
from slicebank_models.heads.head_spec import Architecture, HeadSpec
from slicebank_models.heads.multibranch import MultiBranchHead
from slicebank_models.heads.pooling import PooledHead
from slicebank_models.heads.scaled import ScaledHead
from slicebank_models.heads.scan import ScanHead
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.transmil import TransMilHead


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
    head = _build(spec.resolved(level, task.kind), dim, task)
    scaled = task.kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL)
    return ScaledHead(head, task.n_outputs) if scaled else head


def _build(spec: HeadSpec, dim: int, task: TaskSpec) -> Head:
    asked, sizes = spec.architecture, (dim, task.n_outputs, spec.width, spec.dropout)
    match asked:
        case Architecture.ABMIL | Architecture.GATED_ABMIL:
            return AttentionHead(*sizes, gated=asked is Architecture.GATED_ABMIL)
        case Architecture.MULTIBRANCH_ABMIL:
            return MultiBranchHead(*sizes)
        case Architecture.CLAM_SB | Architecture.CLAM_MB:
            branches = asked is Architecture.CLAM_MB
            return ClamHead(
                dim,
                task.kind,
                task.n_outputs,
                spec.width,
                spec.dropout,
                instances=spec.instances,
                branches=branches,
            )
        case Architecture.TRANSMIL:
            return TransMilHead(*sizes)
        case Architecture.MEAN | Architecture.MAX:
            return PooledHead(*sizes, highest=asked is Architecture.MAX)
        case Architecture.LINEAR | Architecture.MLP:
            return ScanHead(*sizes, linear=asked is Architecture.LINEAR)
