"""Asking a PACS for studies: by DICOMweb and by DIMSE."""
