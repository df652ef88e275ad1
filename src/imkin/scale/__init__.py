"""The same path of the data over shards, on any engine: for more images than one machine's memory or patience.

job       what is to be done, cut into shards        fingerprints  a shard's items → its Parquet file
equals    equal bytes and equal fingerprints → one   near          which joins a method has at scale
banding   Hamming, exact    cells  vectors, by name  tiles         any method, exact, all with all
forest    pairs → what connects them                 run           the whole: `group` over shards
planning  what a join of N images costs
"""
