"""The training recipe of the starter kit's speech encoder, from WORK/speech to its weights.

The steps run in this order, each with ``python -m tools.starter.encoder.<step> WORK``:

1. ``copies``: the same words in other voices, spoken and sung, as spectra.
2. ``teacher``: what Whisper's encoder makes of the originals.
3. ``train``: the network.
4. ``evaluate``: what its units keep of words and speaker, on voices that it was not trained on.
5. ``write``: the weights in half precision.

All can be run again after a kill, and while voices are still being added to WORK/speech.
"""
