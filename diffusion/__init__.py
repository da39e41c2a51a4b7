"""The diffusion model: generates a mel from noise, or refines that of the Glow model.

config.py         diffusion.yaml as typed values
compatibility.py  what has to agree with the voice model
schedule.py       how much noise there is at which step
denoiser.py       the network that separates noise from mel
decoder.py        what the two ways to use it share
gaussian.py       the published way: noise is predicted (model.type Diffusion)
reflow.py         rectified flow: a velocity is predicted (model.type ReFlow)
unit2mel.py       the whole model, from units, F0, volume and speaker to a mel
samplers/         the methods, one per file
"""
