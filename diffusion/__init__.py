"""The diffusion model: it paints a mel from noise, or repaints that of the Glow model.

config.py     diffusion.yaml as typed values
schedule.py   how much noise there is at which step
denoiser.py   the network that tells noise from mel
decoder.py    what the two ways to use it share
gaussian.py   the published way: noise is predicted (model.type Diffusion)
reflow.py     rectified flow: a velocity is predicted (model.type ReFlow)
unit2mel.py   the whole model, from units, F0, volume and speaker to a mel
samplers/     the methods, one per file
"""
