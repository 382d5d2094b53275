"""Learn what grammar leaves open in FACTUAL's conventions from captions with their scene graphs.

`train(table, folder, *, epochs=..., seed=..., report=print-like callable or None) -> Provenance` reads a CSV in
FACTUAL's format and writes `factual.safetensors` and `factual.json` (labels, lexicon, provenance) into `folder`;
`Parser(style="factual", weights=folder)` uses them, by default those that come with the package.
"""

from __future__ import annotations
