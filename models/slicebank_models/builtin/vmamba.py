"""VMamba: selective scans along four orders."""

from dataclasses import replace

from slicebank_models.builtin.untrained import untrained_card

_PAPER = "Liu et al., VMamba: Visual State Space Model, arXiv:2401.10166"
_LICENCE = "Apache-2.0 (own implementation; weights by formula)"
_CODE = "https://github.com/MzeroMiko/VMamba@2ed52ead062a51a64521ed3871d52914bf532876"
_RELEASES = "https://github.com/MzeroMiko/VMamba/releases/download/%23v2cls/"

_DEFAULT_NOTES = (
    "VSSM() of the published code without arguments: depths 2-2-9-2, widths 96 to 768, 16 states, v2 blocks with an MLP. "
    "It has 42,953,376 parameters without its head of 769,000; the paper's table says 36 M, which no argument-free form of "
    "the published code gives. The newest code asserts on the backend that its own default names; the numbers here were "
    "compared with it by its torch backend."
)


def _published(file: str, code_name: str) -> str:
    return (
        f"{code_name} of the published code. Its ImageNet weights (MIT licence) are a release of the repository, on no hub: "
        f"{_RELEASES}{file}. Register a downloaded file with `slicebank encoders add`."
    )


# Architecture, dimensions, parameters, digest of the seeded weights, memory of one more row, notes.
_NETWORKS = (
    (
        "vmamba_default",
        768,
        42953376,
        "3d05ebb055074ad29788656521528f11714e49988c3e66701a47f5979c596bfb",
        32_000_000,
        _DEFAULT_NOTES,
    ),
    (
        "vmamba_tiny",
        768,
        29480064,
        "e61e657381f12670f2051832f780251625d711092d6facdfed52a5b0e5be7ffb",
        18_000_000,
        _published("vssm1_tiny_0230s_ckpt_epoch_264.pth", "vmamba_tiny_s1l8"),
    ),
    (
        "vmamba_small",
        768,
        49378752,
        "c04db8fa902b1586b55d16e75fabb4a17aa0844e4aad771fa9a2689cd7b39651",
        32_000_000,
        _published("vssm_small_0229_ckpt_epoch_222.pth", "vmamba_small_s2l15"),
    ),
    (
        "vmamba_base",
        1024,
        87532800,
        "5f58d58b92d5a40d36f3d3b250b169604dd8f7fdb4365ee42ca5ae9a1ea35daa",
        42_000_000,
        _published("vssm_base_0229_ckpt_epoch_237.pth", "vmamba_base_s2l15"),
    ),
)

CARDS = tuple(
    replace(
        untrained_card(
            name,
            "VMamba, selective scans along four orders",
            dim=dim,
            parameters=parameters,
            digest=digest,
            licence=_LICENCE,
            paper=_PAPER,
            code=_CODE,
            row_bytes=row_bytes,
        ),
        notes=notes,
    )
    for name, dim, parameters, digest, row_bytes, notes in _NETWORKS
)
