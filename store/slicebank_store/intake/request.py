"""What is asked of an upload."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from slicebank_imaging.options import ImportOptions
from slicebank_store.recipe import Recipe
from slicebank_store.types import JSON, BagLevel, Priority


@dataclass(frozen=True, slots=True)
class IntakeRequest:
    """What is asked of an upload.

    Attributes:
        recipe: how to embed it; None keeps the pixels and makes no bag.
        level: of the encoder.
        dim: D, length of the encoder's rows.
        retain: keep the pixels beside the bag.
        stack: which stack to embed; None for the default one.
        patient: PatientID to use in place of the files' own.
        study_uid: StudyInstanceUID to use in place of the files' own.
        options: import options.
        group: id of the group that its jobs belong to.
        case: which case of that group it is, from 0.
        digest: what the sender calls this content, so that it can ask later whether it is known; see `KnownUploads`.
    """

    recipe: Recipe | None
    level: BagLevel
    dim: int
    priority: Priority = Priority.INTERACTIVE
    retain: bool = False
    stack: int | Literal["all"] | None = None
    patient: str | None = None
    study_uid: str | None = None
    options: ImportOptions = field(default_factory=ImportOptions)
    group: str | None = None
    case: int | None = None
    digest: str | None = None

    def as_dict(self) -> JSON:
        """JSON form for a job; holds the patient given, which must not reach the catalogue: see `without_names`."""
        return {
            "recipe": None if self.recipe is None else self.recipe.as_dict(),
            "level": self.level.value,
            "dim": self.dim,
            "priority": self.priority.value,
            "retain": self.retain,
            "stack": self.stack,
            "patient": self.patient,
            "study_uid": self.study_uid,
            "options": self.options.as_dict(),
            "group": self.group,
            "case": self.case,
            "digest": self.digest,
        }

    @classmethod
    def from_dict(cls, values: JSON) -> IntakeRequest:
        """Inverse of `as_dict`."""
        options: dict[str, Any] = values["options"]
        pair = options["assume_rescale"]
        return cls(
            **{
                **values,
                "recipe": None if values["recipe"] is None else Recipe.from_dict(values["recipe"]),
                "level": BagLevel(values["level"]),
                "priority": Priority(values["priority"]),
                "options": ImportOptions(None if pair is None else (pair[0], pair[1]), options["force_not_hu"]),
            }
        )

    def without_names(self) -> IntakeRequest:
        """The same without patient and study, for what is written down."""
        return replace(self, patient=None, study_uid=None)
