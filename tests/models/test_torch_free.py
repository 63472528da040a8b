import subprocess
import sys

import pytest

TORCH_FREE = (
    "slicebank_models",
    "slicebank_models.cards",
    "slicebank_models.registry",
    "slicebank_models.errors",
    "slicebank_models.hub.mirror",
    "slicebank_models.hub.published",
    "slicebank_models.hub.remote",
    "slicebank_models.shipped",
    "slicebank_models.verifying",
    "slicebank_models.heads.spec",
    "slicebank_models.heads.targets",
)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_importing_it_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'timm', 'sklearn', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
