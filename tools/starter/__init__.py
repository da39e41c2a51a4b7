"""The recipe of ``ppg-starter``: from the voices of a Linux distribution to pretrain/starter.

The steps run in this order, each with ``python -m tools.starter.<step> WORK``:

1. ``generate``: synthetic speech whose phones are known, from espeak-ng and flite.
2. ``align``: recorded prompts, and where their phones are.
3. ``copies``: the same words in other voices, spoken and sung, as spectra.
4. ``train``: the network.
5. ``evaluate``: what it can and cannot do, on a voice and a song it never heard.
6. ``write``: the weights in half precision.

``make starter`` runs them all; docs/starter.md explains the choices.
"""
