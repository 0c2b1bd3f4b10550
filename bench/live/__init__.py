"""Patchbay in front of a real model server: `python -m bench.live`, also `make live`.

    __main__.py        the order of things, and what is checked
    model_server.py    llama.cpp's server in an environment of its own under `.live/`: installed once, then kept
    tiny_model.py      writes a model with random weights, so that no model is ever downloaded
    requirements.txt   what that environment holds

Rules: loopback only; the text of a random model is noise, so what is checked is everything but the text.
"""
