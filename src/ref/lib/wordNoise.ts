import { type Key, threefry2x32 } from '../../core/key.ts';
import { ln2, negLog, rounded } from '../gumbelNoise.ts';

/** Words of a list that share a stream of arrivals. */
export const segmentSize = 64;

/** Time in units of 2^-40: with it, sums of a segment stay exact integers of f64. */
const unit = 2 ** 40;
/** log(2) in units of 2^-32. */
const ln2Fine = 2977044472;

const words = new Uint32Array(2);

/**
 * Gumbel noise for the words of a segment, largest first as long as that is cheap, and no further than needed.
 *
 * -log E is Gumbel noise if E has the exponential distribution, such as the time of the first arrival of a Poisson process
 * of rate 1. The words of a segment have one such process each. Together they are one process of rate `count`, whose
 * arrivals belong to words drawn at random: it is followed in order of time, that is of falling noise, and whoever needs
 * only noise of `least` or more stops there. A word that had no arrival until time 1 has, by the lack of memory,
 * E = 1 + a fresh exponential number. So the noise of a word does not depend on `least`: only whether it is made does.
 *
 * @param own the key of the query
 * @param start place of the first word in the index; it tells segments apart
 * @param count words of the segment, at most 64
 * @param visit gets the place in the segment and the noise: falling above 0, in any order below
 */
export function walkSegment(
  own: Key,
  start: number,
  count: number,
  least: number,
  visit: (place: number, noise: number) => void,
): void {
  const seen = new Uint8Array(count);
  let left = count;
  let time = 0;
  for (let arrival = 1; left > 0; arrival++) {
    threefry2x32(own, arrival, start, words);
    time += exponentialOf(words[0]!, words[1]!);
    if (time >= count * unit) break;
    const noise = gumbelOfTime(time, count);
    if (noise < least) return;
    // The low 24 bits of the second word are not used by the time.
    const place = Math.floor(((words[1]! & 0xffffff) * count) / 2 ** 24);
    if (seen[place]) continue;
    seen[place] = 1;
    left--;
    visit(place, noise);
  }
  for (let place = 0; place < count && left > 0; place++) {
    if (seen[place]) continue;
    threefry2x32(own, 0, start + place, words);
    const noise = gumbelOfTime(unit + exponentialOf(words[0]!, words[1]!), 1);
    if (noise >= least) visit(place, noise);
  }
}

/** All noise of a query, by place in the index: what a search that scores every word would add. */
export function wordNoise(own: Key, offsets: ArrayLike<number>): Float32Array {
  const all = new Float32Array(offsets[offsets.length - 1]!);
  for (let list = 0; list + 1 < offsets.length; list++) {
    for (let start = offsets[list]!; start < offsets[list + 1]!; start += segmentSize) {
      const count = Math.min(segmentSize, offsets[list + 1]! - start);
      walkSegment(own, start, count, Number.NEGATIVE_INFINITY, (place, noise) => {
        all[start + place] = noise;
      });
    }
  }
  return all;
}

/** -log(1 - p) for p = (first 2^32 + second) 2^-64, in units of 2^-40, at least one. The numbers below are integers. */
export function exponentialOf(first: number, second: number): number {
  if (first < 2 ** 26) {
    // p < 2^-6: p + p^2/2 + p^3/3 + p^4/4, relative precision where it is small.
    const square = Math.floor(first ** 2 / 2 ** 25);
    const cube = Math.floor((square * first) / 2 ** 31);
    const fourth = Math.floor((cube * first) / 2 ** 32);
    return Math.max(first * 256 + (second >>> 24) + square + Math.floor(cube / 3) + (fourth >>> 2), 1);
  }
  // 1 - p = m 2^-(32 + s); its lowest bit keeps it from being zero.
  const high = ~first >>> 0;
  const low = (~second | 1) >>> 0;
  const s = high > 0 ? Math.clz32(high) : 32 + Math.clz32(low);
  const m = high > 0 ? ((high << s) | ((low >>> 1) >>> (31 - s))) >>> 0 : (low << (s - 32)) >>> 0;
  return (s * ln2Fine + negLog(m)) * 256;
}

/** -log(time / count), rounded to f32: the noise of an arrival at a time in units of 2^-40 of the sum of `count` words. */
export function gumbelOfTime(time: number, count: number): number {
  const high = Math.floor(time / 2 ** 32);
  const bits = high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(time >>> 0);
  const mantissa = Math.floor(time * 2 ** (32 - bits));
  const zeros = Math.clz32(count);
  const exponent = 40 + (32 - zeros) - bits;
  const fixed = exponent * ln2 + rounded(negLog(mantissa)) - rounded(negLog((count << zeros) >>> 0));
  return Math.fround(fixed / 2 ** 25);
}
