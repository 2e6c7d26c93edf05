"""What the client costs, as ratios measured in one run: `python -m benchmarks`, explained in README.md.

May import: the public names of `kiwoom_async`, its simulator, and the HTTP libraries it is compared with.
"""
