"""A world on a virtual clock, for `./run bench --day`: stores that change, shoppers, Discogs, and the rules that serve.

What is decided is decided by the rules of the proxy itself: the budget, the schedule, delta checks, lifetimes, the way
of a request to the mirror. What is simulated is time, the network and the world: listings are sold, added, relisted,
inserted and edited; pages and releases are asked for by Zipf's law, which of them is popular does not change; each
listing is of a release of its own. All stores are pinned; releases of old listings have been matched before the day.

Requests come by Poisson processes. Only those are drawn one by one from which a call may follow; of the others as many
are counted as are expected, so that a thousand requests a second take no longer than one.
"""
