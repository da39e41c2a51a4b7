"""The training recipe of the starter kit: from the voices of a Linux distribution to pretrain/starter.

The steps run in this order, each with ``python -m tools.starter.<step> WORK``:

1. ``generate``: synthetic speech with known phones, from espeak-ng and flite.
2. ``recordings``: real voices, and the phones of some.
3. ``kokoro``: speech and singing of a neural synthesizer, in eight languages.
4. ``encoder.copies`` to ``encoder.write``: the speech encoder.
5. ``base``: a base model that uses it.

``make starter`` runs them all; docs/starter.md explains the design.
"""
