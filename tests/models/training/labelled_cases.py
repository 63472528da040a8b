"""Cases of every kind of task for property tests."""

from hypothesis import strategies as st

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.targets import Case, Target

TASKS = {
    TaskKind.BINARY: TaskSpec(TaskKind.BINARY, ("lesion",)),
    TaskKind.MULTILABEL: TaskSpec(TaskKind.MULTILABEL, ("a", "b", "c")),
    TaskKind.MULTICLASS: TaskSpec(TaskKind.MULTICLASS, ("I", "II", "III")),
    TaskKind.REGRESSION: TaskSpec(TaskKind.REGRESSION, ("volume", "age")),
    TaskKind.SURVIVAL: TaskSpec(TaskKind.SURVIVAL, ("time", "death")),
}

_ANSWER = st.none() | st.integers(0, 1)
_NUMBER = st.none() | st.floats(-1e3, 1e3)
_TARGETS: dict[TaskKind, st.SearchStrategy[Target]] = {
    TaskKind.BINARY: st.tuples(_ANSWER),
    TaskKind.MULTILABEL: st.tuples(_ANSWER, _ANSWER, _ANSWER),
    TaskKind.MULTICLASS: st.tuples(st.none() | st.integers(0, 2)),
    TaskKind.REGRESSION: st.tuples(_NUMBER, _NUMBER),
    TaskKind.SURVIVAL: st.tuples(st.floats(0.1, 1e3), st.integers(0, 1)),
}


@st.composite
def labelled_cases(draw: st.DrawFn, kind: TaskKind, *, sites: int = 4) -> list[Case]:
    """Six to 25 patients, some with several cases, each of one of some sites or none."""
    patients = draw(st.integers(6, 25))
    site_of = [draw(st.integers(0, sites)) for _ in range(patients)]
    owners = [*range(patients), *draw(st.lists(st.integers(0, patients - 1), max_size=15))]
    return [
        Case(at, f"p{owner}", draw(_TARGETS[kind]), site=f"s{site_of[owner]}" if site_of[owner] else "")
        for at, owner in enumerate(owners)
    ]
