"""Caffe written a second time, loop by loop: it shares nothing with the reference but the parser of prototxt.

Written from what Caffe's sources and measurements say, with the same buffers, shares and overwritings, so that the odd
behaviours need no switches of their own. ``python -m tests.plain_caffe --nets 10000 --seed 1`` draws nets and compares.
"""
