"""What a CT series is: archives, headers, series and stacks, geometry, Hounsfield units, windows, and a phantom."""
