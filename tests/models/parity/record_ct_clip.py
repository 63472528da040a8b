"""Records what CT-CLIP's own code gives: `python -m tests.models.parity.record_ct_clip --checkout DIR [--real]`.

DIR is a checkout of github.com/ibrahimethemhamamci/CT-CLIP; einops, beartype and vector-quantize-pytorch 1.1.2 (the
version its set-up pins) must be importable. Three things are put in the way of that code and change no number: it asks
for CUDA by name, it imports its trainers, and it fetches a tokenizer and a text encoder, for which stand-ins serve.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.models.parity.ct_clip_inputs import CODEBOOK, GAIN, REAL, SMALL, SMALLEST_GAP, Comparison, exceptions
from tests.models.parity.formula import parity_state, parity_tensor
from tests.models.parity.goldens import write_golden

SEEDS_TRIED = 400


class _OnCpu(types.ModuleType):
    """torch, except that every device asked for is the CPU."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def device(*asked: object) -> torch.device:
        del asked
        return torch.device("cpu")


class _NoTokenizer:
    @staticmethod
    def from_pretrained(*names: object, **options: object) -> None:
        del names, options


class _Text(nn.Module):
    """In place of the text encoder; has one weight, so that a checkpoint has a key of it."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(4, 768)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        """(B, T) to (B, T, 768)."""
        del attention_mask
        return (self.embeddings(ids),)


def official(checkout: Path, comparison: Comparison) -> nn.Module:
    """The whole model as `scripts/run_zero_shot.py` builds it, for volumes of one size."""
    package = types.ModuleType("transformer_maskgit")
    package.__path__ = [str(checkout / "transformer_maskgit" / "transformer_maskgit")]
    sys.modules["transformer_maskgit"] = package
    stub = types.ModuleType("transformers")
    stub.BertTokenizer = stub.BertModel = _NoTokenizer  # type: ignore[attr-defined]
    sys.modules["transformers"] = stub
    sys.path.insert(0, str(checkout / "CT_CLIP"))
    from ct_clip.ct_clip import CTCLIP
    from transformer_maskgit import attention, ctvit

    attention.torch = ctvit.torch = _OnCpu("torch")
    _, side, _ = comparison.size
    image = ctvit.CTViT(
        dim=512,
        codebook_size=8192,
        image_size=side,
        patch_size=20,
        temporal_patch_size=10,
        spatial_depth=4,
        temporal_depth=4,
        dim_head=32,
        heads=8,
    )
    model: nn.Module = CTCLIP(
        image_encoder=image,
        text_encoder=_Text(),
        dim_image=(side // 20) ** 2 * 512,
        dim_text=768,
        dim_latent=512,
        extra_latent_projection=False,
        use_mlm=False,
        downsample_image_embeds=False,
        use_all_token_embeds=False,
    )
    return model.eval()


def separated_codebook(tokens: Tensor, name: str, shape: tuple[int, ...]) -> tuple[int, Tensor, float]:
    """The first codebook by formula that keeps all tokens apart, its seed and its smallest gap in cosine."""
    directions = F.normalize(tokens, dim=-1)
    for seed in range(6, 6 + SEEDS_TRIED):
        codes = parity_tensor(name, shape, override=exceptions(seed))
        unit = F.normalize(codes[0], dim=-1).t()
        gap = min(
            float((best := (part @ unit).topk(2, dim=-1).values)[:, 0].sub(best[:, 1]).min())
            for part in directions.split(4096)
        )
        if gap > SMALLEST_GAP:
            return seed, codes, gap
    raise SystemExit(f"None of {SEEDS_TRIED} codebooks keeps the tokens apart.")


def record(checkout: Path, comparison: Comparison) -> None:
    """Runs the three volumes and writes the golden."""
    model = official(checkout, comparison)
    if comparison is REAL:
        del model.to_visual_latent_extra  # 604 MB that nothing reads
    state = parity_state(model.state_dict(), gain=GAIN, override=comparison.override())
    model.load_state_dict(state, assign=True)
    quantiser: Any = model.get_submodule("visual_transformer.vq")
    before: list[Tensor] = []
    quantiser.register_forward_pre_hook(lambda _, inputs: before.append(inputs[0][0].clone()))
    chosen: list[Tensor] = []
    quantiser.register_forward_hook(lambda _, inputs, outputs: chosen.append(outputs[1][0]))
    text = types.SimpleNamespace(
        input_ids=torch.zeros(1, 2, dtype=torch.long), attention_mask=torch.ones(1, 2, dtype=torch.long)
    )

    def latents() -> Tensor:
        before.clear()
        chosen.clear()
        found = []
        for index in range(3):
            volume = comparison.volume(index)[None, None]  # (B, channel, frames, H, W)
            found.append(model(text, volume, torch.device("cpu"), return_latents=True)[1])
        return torch.cat(found)

    with torch.inference_mode():
        features = latents()
        codebook = quantiser._codebook
        name = f"visual_transformer.vq.{CODEBOOK}"
        seed, codes, gap = separated_codebook(torch.cat(before), name, tuple(codebook.embed.shape))
        if seed != comparison.codebook_seed:
            codebook.embed.copy_(codes)
            features = latents()
    used = len(torch.cat(chosen).unique())
    sys.stdout.write(f"{comparison.golden}: codebook seed {seed}, {used} codes used, smallest gap {gap:.3g}\n")
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    write_golden(
        comparison.golden,
        official={
            "repository": "https://github.com/ibrahimethemhamamci/CT-CLIP",
            "commit": commit.stdout.strip(),
            "class": "ct_clip.CTCLIP, forward(return_latents=True)",
            "codebook_seed": str(seed),
            "smallest_gap": f"{gap:.3g}",
            "codes_used": str(used),
        },
        software={name: version(name) for name in ("einops", "vector-quantize-pytorch")},
        recorded_by="python -m tests.models.parity.record_ct_clip",
        state=state,
        features=features,
        parts={
            "tokens": torch.stack([part[:: comparison.token_step] for part in before]),
            "codes": torch.stack([part[:: comparison.code_step] for part in chosen]),
        },
    )


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--real", action="store_true", help="the real size, minutes and 5 GB")
    asked = parser.parse_args()
    record(asked.checkout, REAL if asked.real else SMALL)


if __name__ == "__main__":
    main()
