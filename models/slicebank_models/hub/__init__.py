"""Getting published weights: from the Hugging Face hub, from a mirror of it, or from a folder. No torch here.

A user names what is wanted (`references.py`), a plan says what that is and under which terms (`planning.py`), and
`pulling.py` fetches the file, checks it and registers the encoder.
"""
