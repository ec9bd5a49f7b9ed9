"""The data of the benchmarks, bit for bit as bench/support/work.ts makes them."""
import numpy as np


def uniform(length, seed, scale=1.0):
    """f32 in [-1, 1): 24 bits of a 32-bit mixer of the position."""
    with np.errstate(over="ignore"):
        i = np.arange(1, length + 1, dtype=np.uint32)
        h = (i * np.uint32(0x9E3779B1)) ^ np.uint32(((seed + 1) * 0x85EBCA6B) & 0xFFFFFFFF)
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x21F0AAAD)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(0x735A2D97)
        h = (h ^ (h >> np.uint32(15))) >> np.uint32(8)
    return ((h.astype(np.float64) / 0x800000 - 1) * scale).astype(np.float32)


def clustered(count, dim, clusters, spread, seed):
    """[count, dim]: point i lies around centre (i * 2654435761 mod 2^32) mod clusters, within +-spread per coordinate."""
    centres = uniform(clusters * dim, seed).reshape(clusters, dim)
    with np.errstate(over="ignore"):
        which = (np.arange(count, dtype=np.uint32) * np.uint32(2654435761)) % np.uint32(clusters)
    return centres[which] + uniform(count * dim, seed + 1, spread).reshape(count, dim)


def word_like(count, dim, clusters, centre_seed, seed):
    """[count, dim]: point i lies around centre floor(clusters u^2); lengths differ. In f64, rounded once."""
    centres = uniform(clusters * dim, centre_seed).reshape(clusters, dim).astype(np.float64)
    u = (uniform(count, seed).astype(np.float64) + 1) / 2
    which = np.floor(clusters * u * u).astype(np.int64)
    scale = 1 + uniform(count, seed + 1).astype(np.float64) / 3
    noise = uniform(count * dim, seed + 2).reshape(count, dim).astype(np.float64)
    return ((centres[which] + noise) * scale[:, None]).astype(np.float32)
