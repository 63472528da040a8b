"""Labels and the bags they name: from a table to the cases that a head is trained on."""
