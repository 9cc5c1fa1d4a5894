"""One command per benchmark, with the peer measured in the same run.

A benchmark prints one JSON object under `--json`: what was measured, the peer, the ratio of the two and its
spread over repetitions. The machine is shared and noisy, so the ratio is the figure.
"""
