import pytest

from slicebank_models.errors import BadReference
from slicebank_models.hub.planning import plain_id
from slicebank_models.hub.references import HubReference, PublishedReference, TimmReference, parse_reference


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("biomedclip", PublishedReference("biomedclip")),
        ("timm:resnet50.a1_in1k", TimmReference("resnet50.a1_in1k")),
        ("hf:microsoft/rad-dino", HubReference("microsoft/rad-dino")),
        ("hf:a/b@v1.0", HubReference("a/b", "v1.0")),
        ("hf:a/b@refs/pr/3:x/y.pt", HubReference("a/b", "refs/pr/3", "x/y.pt")),
        ("hf:a/b:x.pt", HubReference("a/b", "main", "x.pt")),
        ("hf:datasets/a/b:x.pt", HubReference("datasets/a/b", "main", "x.pt")),
    ],
)
def test_what_is_named(text: str, meant: object) -> None:
    assert parse_reference(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "", "/etc/passwd", "./x.pt", "../x", "https://a.b/c", "file:///x", "hf:", "hf:a", "hf:a/b/c", "hf:../b",
        "hf:a/b:/etc/passwd", "hf:a/b:x/../../y", "hf:a/b@:x", "hf:a/b@../x", "timm:", "timm:a/b", "a b", "x" * 200,
    ],
)  # fmt: skip
def test_paths_and_addresses_are_none(text: str) -> None:
    with pytest.raises(BadReference):
        parse_reference(text)


def test_ids_are_made_plain() -> None:
    assert plain_id("a/b c", "d") == "a-b-c.d"
    assert plain_id("..") == "encoder"
    assert len(plain_id("x" * 300)) == 128
