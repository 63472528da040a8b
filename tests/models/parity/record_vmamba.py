"""Records what the official VMamba gives: features and maps at 64 and 224 pixels, and gradients of its scan and its SS2D.

    python -m tests.models.parity.record_vmamba --checkout DIR [ARCHITECTURE ...]

DIR is a checkout of github.com/MzeroMiko/VMamba at COMMIT. Its scans run by its own torch code (`selective_scan_torch`,
cross scan and merge without Triton); `v2`, the forward type of `VSSM()`, names a backend that the newest code asserts
against, so that every SS2D is told this one. fvcore, which counts operations, and the code of Mamba-2, which these forms do not
use, are replaced by empty modules, and the choice of a CUDA device by one of none, which new versions of torch refuse for
tensors of the CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD
from slicebank_models.encoders.slice_encoder import GreyToChannels
from tests.models.parity.formula import parity_rows, parity_state
from tests.models.parity.goldens import write_golden
from tests.models.parity.vmamba_weights import block_input, override, scan_inputs, summary

COMMIT = "2ed52ead062a51a64521ed3871d52914bf532876"
RECORDED_BY = "python -m tests.models.parity.record_vmamba"
# Functions of the official file; `small` and `base` are those of the front page.
OFFICIAL = {
    "vmamba_default": "VSSM",
    "vmamba_tiny": "vmamba_tiny_s1l8",
    "vmamba_small": "vmamba_small_s2l15",
    "vmamba_base": "vmamba_base_s2l15",
    "vmamba_tiny_s2l5": "vmamba_tiny_s2l5",
    "vmamba_small_s1l20": "vmamba_small_s1l20",
    "vmamba_base_s1l20": "vmamba_base_s1l20",
}
SIZES = (64, 224)


def official_module(checkout: Path) -> Any:
    """Imports the official file."""
    absent = {
        "fvcore.nn": ("FlopCountAnalysis", "flop_count_str", "flop_count", "parameter_count"),
        "mamba2.ssd_minimal": ("selective_scan_chunk_fn",),
    }
    for name, contents in absent.items():
        module = types.ModuleType(name)
        for content in contents:
            setattr(module, content, None)
        sys.modules[name.partition(".")[0]], sys.modules[name] = types.ModuleType(name), module
    torch.cuda.device = contextlib.nullcontext  # type: ignore[assignment,misc]
    sys.path.insert(0, str(checkout / "classification" / "models"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import vmamba  # type: ignore[import-not-found]
    return vmamba


def told_its_backend(model: nn.Module) -> nn.Module:
    """Every SS2D by the official torch scan, in float32, whatever its forward type asks for."""
    for module in model.modules():
        if type(module).__name__ == "SS2D":
            core: partial[Tensor] = module.forward_core  # type: ignore[assignment]
            options = {**core.keywords, "selective_scan_backend": "torch", "scan_force_torch": True}
            module.forward_core = partial(core.func, **options)  # type: ignore[assignment]
    return model.eval()


def maps(model: Any, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Features, and every step's map as (B, H, W, C), one row at a time to save memory."""
    steps: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            steps.setdefault(name, []).append(output.permute(0, 2, 3, 1) if model.channel_first else output)

        return hook

    named = {"patch_embed": model.patch_embed, "classifier.norm": model.classifier.norm}
    for at, layer in enumerate(model.layers):
        named |= {f"layers.{at}.blocks.{place}": block for place, block in enumerate(layer.blocks)}
        if not isinstance(layer.downsample, nn.Identity):
            named[f"layers.{at}.downsample"] = layer.downsample
    hooks = [module.register_forward_hook(keep(name)) for name, module in named.items()]
    model.classifier.head = nn.Identity()
    with torch.inference_mode():
        features = torch.cat([model(image[None]) for image in images])
    for hook in hooks:
        hook.remove()
    return features, {name: torch.cat(parts) for name, parts in steps.items()}


def record_network(vmamba: Any, architecture: str) -> None:
    """Records one architecture under its own name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = told_its_backend(getattr(vmamba, OFFICIAL[architecture])())
    state = model.state_dict()
    model.load_state_dict(parity_state(state, override=override))
    channels = GreyToChannels(IMAGENET_MEAN, IMAGENET_STD)
    parts: dict[str, Tensor] = {}
    for size in SIZES:
        features, steps = maps(model, channels(parity_rows(size)).contiguous())
        parts |= {f"{size}.{name}": summary(step) for name, step in steps.items()}
        parts[f"{size}.features"] = features
    write_golden(
        architecture,
        official={
            "repository": "https://github.com/MzeroMiko/VMamba",
            "commit": COMMIT,
            "class": OFFICIAL[architecture],
        },
        software={"timm": timm.__version__},
        recorded_by=RECORDED_BY,
        state=state,
        features=parts.pop("224.features"),
        parts=parts,
    )


def record_gradients(vmamba: Any) -> None:
    """Records the scan's output and gradients, and those of one SS2D of 16 channels with its gate."""
    inputs = scan_inputs()
    dy = inputs.pop("dy")
    leaves = {name: tensor.requires_grad_() for name, tensor in inputs.items()}
    found = vmamba.selective_scan_fn(*leaves.values(), True, True, backend="torch")
    gradients = torch.autograd.grad(found, list(leaves.values()), dy)
    parts = {f"scan.d_{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
    op = told_its_backend(vmamba.SS2D(d_model=16, d_state=16, forward_type="v2"))
    state = op.state_dict()
    op.load_state_dict(parity_state(state, override=override))
    x, asked = block_input()
    y = op(x.requires_grad_())
    named = dict(op.named_parameters())
    wanted = torch.autograd.grad(y, [x, *named.values()], asked)
    parts |= {f"ss2d.d_{name}": gradient for name, gradient in zip(["x", *named], wanted, strict=True)}
    write_golden(
        "vmamba_gradients",
        official={
            "repository": "https://github.com/MzeroMiko/VMamba",
            "commit": COMMIT,
            "class": "selective_scan_fn(backend='torch') and SS2D(d_model=16, d_state=16, forward_type='v2')",
        },
        software={"timm": timm.__version__},
        recorded_by=RECORDED_BY,
        state=state,
        features=found,
        parts={"ss2d.y": y, **parts},
    )


def main() -> None:
    """Records what the command line names, or everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("names", nargs="*", default=[*OFFICIAL, "gradients"])
    arguments = parser.parse_args()
    vmamba = official_module(arguments.checkout)
    for name in arguments.names:
        if name == "gradients":
            record_gradients(vmamba)
        else:
            record_network(vmamba, name)


if __name__ == "__main__":
    main()
