"""Finds audio for the tracks of Discogs releases: the match queue, its worker pool, the score and the stored matches.

It knows nothing of the proxy: releases reach it through a `fetch_release` callable, SQL through an asyncpg pool.
"""
