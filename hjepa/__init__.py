"""Hierarchical joint-embedding predictive architectures, every technique a configuration field.

Letters in shapes: B batch, N patches of a view, K context tokens, M target blocks, T tokens of a
block, L levels, G cells of a level, D width, H heads.
"""
