"""Kernels over logits: Triton on CUDA, numba on the CPU, plain torch elsewhere and as the reference of both.

These modules alone, of all kernels, import torch (and, where a tensor lies on a GPU, triton). Nothing imports them
before a tensor has come in.

    masking.py      logits of tokens that are not allowed := -inf; masks packed, or as lists of rows of a table
    sampling.py     mask, temperature, truncation and a draw by counter-based noise, with log-probabilities
    automata.py     states of token automata over a batch: advance, and the mask of a state
    *_reference.py  the same in torch; *_triton.py the same in Triton; *_numba.py the same on the CPU
"""
