"""The pitch of a song under your hands: as a file, as notes, and edits of a range.

A curve is an array (N,) on the frame grid of the song, frame i at ``i / frame_rate`` s: Hz, 0 where
unvoiced. Everything here takes curves and returns new ones, so an editor needs nothing else.
"""
