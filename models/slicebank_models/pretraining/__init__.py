"""Contrastive pre-training of slice encoders: MoCo v3 and LECL. Knows nothing of DICOM, stores or jobs."""
