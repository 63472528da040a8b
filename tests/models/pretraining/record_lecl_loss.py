"""Records what the published code of LECL computes, as golden_lecl_loss.json.

Run as `python -m tests.models.pretraining.record_lecl_loss CHECKOUT`, where CHECKOUT is github.com/KatherLab/CLEAR at `COMMIT`.
Its `contrastive_loss_lesion` runs as it stands, in one process and in two (gloo), on inputs that a formula makes.
"""

import importlib.util
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist

REPOSITORY = "github.com/KatherLab/CLEAR"
COMMIT = "03a86870cb665c6d0eaa10b152be976ca8c3d080"
FILE = "src/LECL/moco/builder.py"
GOLDEN = Path(__file__).with_name("golden_lecl_loss.json")

# Slices a process, processes, rows with a lesion, lambda, temperature.
CASES: tuple[tuple[int, int, tuple[int, ...], float, float], ...] = (
    (6, 1, (), 3.0, 1.0),
    (6, 1, (2,), 3.0, 1.0),
    (6, 1, (0, 3, 5), 1.0, 1.0),
    (6, 1, (0, 1, 2, 3, 4, 5), 5.0, 1.0),
    (6, 1, (1, 4), 3.0, 0.2),
    (4, 2, (), 3.0, 1.0),
    (4, 2, (6,), 3.0, 1.0),
    (4, 2, (0, 2, 5, 7), 5.0, 0.5),
    (4, 2, (1, 2, 3, 4, 6, 7), 0.5, 1.0),
)
DIMENSIONS = 5


def formula_rows(rows: int, phase: float) -> Tensor:
    """(rows, DIMENSIONS) float64 numbers that any machine makes alike, to rounding."""
    return torch.tensor(
        [[math.sin(1.7 * row + 0.9 * row * at + 2.3 * at + phase) for at in range(DIMENSIONS)] for row in range(rows)],
        dtype=torch.float64,
    )


def lesion_mask(rows: int, lesions: tuple[int, ...]) -> Tensor:
    """(rows) bool."""
    return torch.tensor([row in lesions for row in range(rows)])


def _published(checkout: Path) -> Any:
    specification = importlib.util.spec_from_file_location("published_builder", checkout / FILE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.MoCo


def _record(rank: int, processes: int, checkout: Path, store: str, answers: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=processes)
    moco = _published(checkout)
    found = []
    for each, wanted, lesions, weight, temperature in CASES:
        if wanted != processes:
            continue
        own = slice(rank * each, (rank + 1) * each)
        queries = formula_rows(each * processes, 0.3)[own].clone().requires_grad_()
        keys = formula_rows(each * processes, 1.1)[own]
        loss = moco.contrastive_loss_lesion(
            SimpleNamespace(T=temperature), queries, keys, lesion_mask(each * processes, lesions), weight
        )
        loss.backward()
        assert queries.grad is not None
        found.append({"loss": loss.item(), "gradients": queries.grad.tolist()})
    answers.with_name(f"{processes}-{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def main() -> None:
    """Runs the published function and writes its numbers."""
    checkout = Path(sys.argv[1])
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, check=True, capture_output=True, text=True)
    assert head.stdout.strip() == COMMIT, f"{checkout} is at {head.stdout.strip()}"
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for processes in (1, 2):
            answers = Path(folder) / "answers"
            arguments = (processes, checkout, f"{folder}/store{processes}", answers)
            multiprocessing.spawn(_record, arguments, nprocs=processes)
            by_rank = [json.loads(answers.with_name(f"{processes}-{r}.json").read_text()) for r in range(processes)]
            chosen = [case for case in CASES if case[1] == processes]
            for (each, _, lesions, weight, temperature), *of_ranks in zip(chosen, *by_rank, strict=True):
                cases.append(
                    {
                        "slices_a_process": each,
                        "lesions": list(lesions),
                        "lesion_weight": weight,
                        "temperature": temperature,
                        "ranks": of_ranks,
                    }
                )
    document = {"repository": REPOSITORY, "commit": COMMIT, "file": FILE, "torch": torch.__version__, "cases": cases}
    GOLDEN.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
