import hashlib

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.digest import weights_digest


def test_it_is_the_documented_concatenation() -> None:
    tensors = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(3, dtype=torch.int64)}
    spelled = b"a\0int64\0\0" + (3).to_bytes(8, "little")
    spelled += b"b\0float32\0" + b"1,2\0" + bytes.fromhex("0000803f00000040")
    assert weights_digest(tensors) == hashlib.sha256(spelled).hexdigest()


@settings(deadline=None, max_examples=25)
@given(st.permutations(["x", "y", "z"]))
def test_order_and_memory_layout_do_not_matter(names: list[str]) -> None:
    tensors = {name: torch.arange(6.0).reshape(2, 3) + ord(name) for name in "xyz"}
    shuffled = {name: tensors[name].t().contiguous().t() for name in names}
    assert weights_digest(shuffled) == weights_digest(tensors)


def test_name_dtype_shape_and_values_matter() -> None:
    base = {"a": torch.zeros(2, 3)}
    others = [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)},
        {"a": torch.full((2, 3), 1e-30)},
    ]
    assert len({weights_digest(tensors) for tensors in [base, *others]}) == 5
