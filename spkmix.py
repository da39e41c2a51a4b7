# A speaker mix: the weights of the speakers over time, read by inference_main.py -usm.
#
# Edit the numbers below, or copy this file and name the copy: --spk_mix_file my_mix.py
# The file is read as data and never run; it may also be JSON with the same contents.
#
#     speaker: [[start, end, value at start, value at end], ...]
#
# The speaker is an id or a name of the model's config.json. Times are shares of the song:
# 0 is its beginning, 1 its end. In a segment the value changes linearly.
#
# - The first segment starts at 0, the last ends at 1, and each starts where the one before ends.
# - Values are 0 or more. At each moment they are scaled to a sum of 1; where all are 0, all
#   speakers have equal shares.
# - Every speaker of the model is listed; one without a share as [[0., 1., 0., 0.]].
#
# This one begins with the first speaker and ends with the second. A mix of halves would be
# 0: [[0., 1., 1., 1.]], 1: [[0., 1., 1., 1.]]; more in docs/mixing.md.
spk_mix_map = {
    0: [[0.0, 1.0, 1.0, 0.0]],
    1: [[0.0, 1.0, 0.0, 1.0]],
}
