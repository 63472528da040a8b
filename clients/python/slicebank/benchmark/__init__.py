"""`slicebank benchmark`: several encoders on one task, as the paper's tables and figures compare them."""
