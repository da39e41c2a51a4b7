"""The pitch editor: a song of the Convert tab, its pitch, and its slices rendered again as it changes.

webui/browser/editor.js shows it and sends edits; what an edit means is in inference/pitch/, what a
rendering is in inference/pitch/editable.py. Here are the open songs of a server, and the requests.
"""
