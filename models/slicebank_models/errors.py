"""What can go wrong with encoders, heads and pre-training.

ModelsError
├── EncoderError
│   ├── UnknownEncoder            unknown_encoder
│   ├── UnknownArchitecture       unknown_architecture
│   ├── BadCard                   bad_encoder_card
│   ├── EncoderExists             encoder_exists
│   ├── EncoderNotRegistered      encoder_not_registered
│   ├── BadReference              bad_encoder_reference
│   ├── LicenceNotAccepted        licence_not_accepted
│   ├── WeightsMissing            weights_missing
│   ├── WeightsDigestMismatch     weights_digest_mismatch
│   └── BadRows                   bad_rows
├── CheckpointError
│   ├── UnreadableCheckpoint      unreadable_checkpoint
│   ├── UnsafeCheckpoint          unsafe_checkpoint
│   └── CheckpointMismatch        checkpoint_mismatch
├── HubError
│   ├── HubOffline                hub_offline
│   ├── HubUnreachable            hub_unreachable
│   ├── HubAccessDenied           hub_access_denied
│   ├── NotOnHub                  not_on_hub
│   ├── PullUnderWay              pull_under_way
│   └── WrongFile                 wrong_file
├── HeadError
│   ├── BadTask                   bad_task
│   ├── UnknownTrainingKey        unknown_training_key
│   ├── BadTrainingValue          bad_training_value
│   ├── BadHeadFile               bad_head_file
│   └── DimensionMismatch         dimension_mismatch
├── TrainingError
│   ├── MalformedLabels           malformed_labels
│   ├── NoCases                   no_cases
│   ├── OneClassOnly              one_class_only
│   ├── ClassWithoutCases         class_without_cases
│   ├── TooFewPatients            too_few_patients
│   ├── BadSplits                 bad_splits
│   │   └── PatientLeak           patient_leak
│   ├── NothingToCompare          nothing_to_compare
│   ├── TrainingDiverged          training_diverged
│   └── TrainingCancelled         training_cancelled
└── PretrainingError
    ├── BadPretrainingSetting     bad_pretraining_setting
    ├── SourceProblem             source_problem
    ├── BadSliceCache             bad_slice_cache
    ├── BadPretrainingCheckpoint  bad_pretraining_checkpoint
    └── PretrainingDiverged       pretraining_diverged
"""

from typing import ClassVar


class ModelsError(Exception):
    """Root of this package's errors.

    Attributes:
        code: Stable word for programs; the message is for people.
    """

    code: ClassVar[str] = "models_error"


class EncoderError(ModelsError):
    """Something about an encoder or its weights."""

    code: ClassVar[str] = "encoder_error"


class UnknownEncoder(EncoderError):
    """No card has this id."""

    code: ClassVar[str] = "unknown_encoder"


class UnknownArchitecture(EncoderError):
    """A card names an architecture that this version cannot build."""

    code: ClassVar[str] = "unknown_architecture"


class BadCard(EncoderError):
    """A card's values contradict each other or are out of range."""

    code: ClassVar[str] = "bad_encoder_card"


class EncoderExists(EncoderError):
    """An encoder of this id is registered already."""

    code: ClassVar[str] = "encoder_exists"


class EncoderNotRegistered(EncoderError):
    """Only registered encoders can be removed, and this one comes with the installation or has nothing here."""

    code: ClassVar[str] = "encoder_not_registered"


class BadReference(EncoderError):
    """What was named is no encoder that could be pulled."""

    code: ClassVar[str] = "bad_encoder_reference"


class LicenceNotAccepted(EncoderError):
    """Nobody has said yet that the terms of the weights are accepted."""

    code: ClassVar[str] = "licence_not_accepted"


class WeightsMissing(EncoderError):
    """The card's weights file is not there."""

    code: ClassVar[str] = "weights_missing"


class WeightsDigestMismatch(EncoderError):
    """The weights are not the ones that the card names."""

    code: ClassVar[str] = "weights_digest_mismatch"


class BadRows(EncoderError):
    """An array of rows has the wrong shape or type for the encoder."""

    code: ClassVar[str] = "bad_rows"


class CheckpointError(ModelsError):
    """Something about a file of weights."""

    code: ClassVar[str] = "checkpoint_error"


class UnreadableCheckpoint(CheckpointError):
    """The file is neither safetensors nor a torch file of tensors."""

    code: ClassVar[str] = "unreadable_checkpoint"


class UnsafeCheckpoint(CheckpointError):
    """The file wants to run code while it loads."""

    code: ClassVar[str] = "unsafe_checkpoint"


class CheckpointMismatch(CheckpointError):
    """The file's tensors are not those of the architecture.

    Attributes:
        missing: Names that the architecture needs and the file lacks.
        left_over: Keys of the file that nothing accounts for.
        wrong_shape: (name, shape expected, shape found).
    """

    code: ClassVar[str] = "checkpoint_mismatch"

    def __init__(
        self,
        missing: tuple[str, ...],
        left_over: tuple[str, ...],
        wrong_shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...],
    ) -> None:
        self.missing = missing
        self.left_over = left_over
        self.wrong_shape = wrong_shape
        shapes = tuple(f"{name} (expected {expected}, found {found})" for name, expected, found in wrong_shape)
        parts = [
            f"{title} {len(names)}: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
            for title, names in (("missing", missing), ("left over", left_over), ("wrong shape", shapes))
            if names
        ]
        super().__init__(
            f"The checkpoint does not fit the architecture. {'; '.join(parts)}. "
            "Name the architecture that the checkpoint was trained with."
        )


class HubError(ModelsError):
    """Published weights cannot be had."""

    code: ClassVar[str] = "hub_error"


class HubOffline(HubError):
    """The settings forbid contacting anybody."""

    code: ClassVar[str] = "hub_offline"


class HubUnreachable(HubError):
    """The hub does not answer, or broke off."""

    code: ClassVar[str] = "hub_unreachable"


class HubAccessDenied(HubError):
    """The hub gives the file to nobody without a token, or not to the account of ours."""

    code: ClassVar[str] = "hub_access_denied"


class NotOnHub(HubError):
    """The hub has no such repository, revision or file."""

    code: ClassVar[str] = "not_on_hub"


class PullUnderWay(HubError):
    """Another process fetches the same file."""

    code: ClassVar[str] = "pull_under_way"


class WrongFile(HubError):
    """The file is not the one that was pinned by its sha256."""

    code: ClassVar[str] = "wrong_file"


class HeadError(ModelsError):
    """Something about a head or its specification."""

    code: ClassVar[str] = "head_error"


class BadTask(HeadError):
    """The task's kind or labels are not usable."""

    code: ClassVar[str] = "bad_task"


class UnknownTrainingKey(HeadError):
    """A training setting that does not exist."""

    code: ClassVar[str] = "unknown_training_key"


class BadTrainingValue(HeadError):
    """A training setting with the wrong type or out of range."""

    code: ClassVar[str] = "bad_training_value"


class BadHeadFile(HeadError):
    """The bytes are not a head of this version."""

    code: ClassVar[str] = "bad_head_file"


class DimensionMismatch(HeadError):
    """Rows of another length than the head was trained on."""

    code: ClassVar[str] = "dimension_mismatch"


class TrainingError(ModelsError):
    """A head cannot be trained as asked."""

    code: ClassVar[str] = "training_error"


class MalformedLabels(TrainingError):
    """The labels table cannot be read."""

    code: ClassVar[str] = "malformed_labels"


class NoCases(TrainingError):
    """Nothing to train on."""

    code: ClassVar[str] = "no_cases"


class OneClassOnly(TrainingError):
    """A label that is the same in every case."""

    code: ClassVar[str] = "one_class_only"


class ClassWithoutCases(TrainingError):
    """A class of the task that no case has."""

    code: ClassVar[str] = "class_without_cases"


class TooFewPatients(TrainingError):
    """Fewer patients than the splits need."""

    code: ClassVar[str] = "too_few_patients"


class BadSplits(TrainingError):
    """Given splits that cannot be read or do not fit the cases."""

    code: ClassVar[str] = "bad_splits"


class PatientLeak(BadSplits):
    """Given splits with a patient on both sides."""

    code: ClassVar[str] = "patient_leak"


class NothingToCompare(TrainingError):
    """Two heads that have no task or no measured patients in common."""

    code: ClassVar[str] = "nothing_to_compare"


class TrainingDiverged(TrainingError):
    """The loss stopped being a number."""

    code: ClassVar[str] = "training_diverged"


class TrainingCancelled(TrainingError):
    """The caller asked to stop."""

    code: ClassVar[str] = "training_cancelled"


class PretrainingError(ModelsError):
    """Pre-training cannot go on."""

    code: ClassVar[str] = "pretraining_error"


class BadPretrainingSetting(PretrainingError):
    """A setting that does not exist, or a value it cannot have."""

    code: ClassVar[str] = "bad_pretraining_setting"


class SourceProblem(PretrainingError):
    """A folder or table of slices that cannot be read, or whose parts contradict each other."""

    code: ClassVar[str] = "source_problem"


class BadSliceCache(PretrainingError):
    """A folder that is no whole cache of slices."""

    code: ClassVar[str] = "bad_slice_cache"


class BadPretrainingCheckpoint(PretrainingError):
    """A file that no run can be resumed from, or one of another run."""

    code: ClassVar[str] = "bad_pretraining_checkpoint"


class PretrainingDiverged(PretrainingError):
    """The loss stopped being a number."""

    code: ClassVar[str] = "pretraining_diverged"
