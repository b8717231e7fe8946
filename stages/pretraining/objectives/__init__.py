"""One contrastive objective per file.

There is no table of objectives here on purpose: it would be a dependency of every
``pretrain@...`` stage, so that adding one objective would retrain all of them. An entry of
``objectives`` in ``params.yaml`` names its file instead.
"""
