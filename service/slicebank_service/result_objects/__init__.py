"""Predictions as DICOM objects for the PACS: a structured report (TID 1500) and a secondary capture of the attention picture."""
