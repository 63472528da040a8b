"""DICOMweb (DICOM PS3.18): storing instances and searching for what is stored."""
