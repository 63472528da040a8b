"""The commands `slicebank admin ...`, one file each; imports at their tops stay light, because the CLI reads them."""
