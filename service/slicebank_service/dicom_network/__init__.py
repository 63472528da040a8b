"""`slicebank listen`: a DICOM storage SCP that takes CT studies in as scanners and PACS send them."""
