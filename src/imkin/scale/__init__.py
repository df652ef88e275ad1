"""The same path of the data over shards, on any engine: for more images than one machine's memory or patience.

job, task     what is to be done, cut into shards    fingerprints  a shard's items → its Parquet file
equals        equal bytes and fingerprints → one     joining       which join a method has, its rounds
banding       Hamming, exact                         tiles         any method, exact, all with all
pictures      ssim, exact                            cells         vectors, by name
pairing       pairs and forests as rows              kept          the pairs of a join in files
outcome, told groups and pairs out of those files    run           the whole: `group` over shards
planning      what a join of N images costs
"""
