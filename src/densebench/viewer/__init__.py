"""The profile viewer: a TensorBoard plugin that draws `*.pt.trace.json` files without a network.

`finding` lists a log folder's traces, `parsing` turns one into the columns of `trace`, `store` keeps those,
`views`, `timeline` and `comparison` answer questions about them, `plugin` puts the answers on HTTP, and `page`
draws them. `entry` is what TensorBoard finds by itself; `serve` is `densebench view`.
"""

PLUGIN_NAME = "pytorch_profiler"
