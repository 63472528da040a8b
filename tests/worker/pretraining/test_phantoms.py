import numpy as np

from slicebank_worker.pretraining.phantoms import SLICES, PhantomSource


def test_phantoms_are_the_same_at_every_call_and_have_lesions_within_the_picture() -> None:
    source = PhantomSource(2, workers=2)
    first, again = list(source.slices()), list(PhantomSource(1, workers=1).slices())
    assert len(first) == len(source) == 2 * SLICES
    for one, other in zip(first[:SLICES], again, strict=True):
        np.testing.assert_array_equal(one.hu, other.hu)
        assert one.boxes == other.boxes
    assert {one.patient for one in first} == {"phantom-000000", "phantom-000001"}
    assert [one.position for one in first] == [*range(SLICES)] * 2
    boxes = [(one.hu.shape, box) for one in first for box in one.boxes]
    assert len(boxes) > 10
    for (rows, columns), box in boxes:
        assert 0 <= box.row_start < box.row_stop <= rows
        assert 0 <= box.column_start < box.column_stop <= columns
    assert not np.array_equal(first[0].hu, first[SLICES].hu)
    assert source.left_out == ()
