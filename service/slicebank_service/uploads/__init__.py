"""Uploads that go on where they stopped: tus 1.0 (https://tus.io/protocols/resumable-upload) on the folders of staging.

Written here because the kept library for FastAPI, tuspyserver, writes the sender's file name beside the upload, checks no checksums and
removes what expired without knowing of staging, its limits and its jobs.
"""
