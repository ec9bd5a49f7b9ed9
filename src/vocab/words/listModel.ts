import { bestOf, keysOf } from '../../ref/lib/best.ts';
import { createDots } from './dots.ts';
import { quantiseRows } from './int8.ts';

/**
 * What is kept of each list to guess how its words score: their mean, and their variance along it and across it.
 * A word is taken as mean + noise, so that q . e is normal with mean q . m and variance (q . m / |m|)^2 along +
 * (|q|^2 - (q . m / |m|)^2) across.
 */
export interface ListModel {
  readonly d: number;
  readonly lists: number;
  /** [lists, stride]: the means as bytes. */
  readonly codes: Int8Array;
  /** [lists, 4]: the scale of the mean, 1 / |mean|, the variance along the mean, the variance across it per axis. */
  readonly numbers: Float32Array;
}

/** Room for the model of so many lists. */
export function emptyModel(d: number, lists: number): ListModel {
  const stride = Math.ceil(d / 16) * 16;
  return { d, lists, codes: new Int8Array(lists * stride), numbers: new Float32Array(4 * lists) };
}

/** Measure list l from its words; one without words stays zero. */
export function measureList(
  model: ListModel,
  l: number,
  codes: Int8Array,
  scales: Float32Array,
  count: number,
): void {
  if (count === 0) return;
  const { d } = model;
  const stride = model.codes.length / model.lists;
  const sum = new Float64Array(d);
  let squares = 0;
  for (let i = 0; i < count; i++) {
    const scale = scales[i]!;
    const at = i * stride;
    let own = 0;
    for (let j = 0; j < d; j++) {
      const code = codes[at + j]!;
      own += code * code;
      sum[j]! += code * scale;
    }
    squares += own * scale * scale;
  }
  const mean = Float32Array.from(sum, (s) => s / count);
  const row = { codes: model.codes.subarray(l * stride, (l + 1) * stride), scales: new Float32Array(1) };
  quantiseRows(mean, 1, d, stride, row);
  const scale = row.scales[0]!;
  let norm = 0;
  for (const code of row.codes) norm += code * code;
  norm = Math.sqrt(norm) * scale;
  const inverse = norm === 0 ? 0 : 1 / norm;
  // Variance along the mean, from the projections of the words; the rest is shared by the other axes.
  let [first, second] = [0, 0];
  for (let i = 0; i < count; i++) {
    let dot = 0;
    const at = i * stride;
    for (let j = 0; j < d; j++) dot += codes[at + j]! * row.codes[j]!;
    const along = dot * scales[i]! * scale * inverse;
    first += along;
    second += along * along;
  }
  const along = Math.max(second / count - (first / count) ** 2, 0);
  let centre = 0;
  for (const s of sum) centre += (s / count) ** 2;
  const all = Math.max(squares / count - centre, 0);
  model.numbers.set([scale, inverse, along, d === 1 ? 0 : Math.max(all - along, 0) / (d - 1)], 4 * l);
}

/** Which lists a search looks into. */
export interface Chooser {
  /**
   * With `nprobe` so many lists; with `recall` so many that they should hold this share of the `wanted` best; in both cases
   * more until they hold `wanted` words. Lists come in ascending order.
   *
   * @param query 16 bits per element, `scale` their unit
   */
  choose(
    query: Int16Array,
    scale: number,
    wanted: number,
    options: { readonly nprobe?: number; readonly recall?: number },
  ): Int32Array;
}

/**
 * Choose lists by how many of the best words they should hold. With t such that the lists together should hold `wanted`
 * words above t, list l should hold n_l P(z_l) of them, z_l = (mean - t) / deviation of its scores: the words are found most
 * cheaply in the order of z. Only +, -, *, / and square roots, so that all machines choose the same lists.
 */
export function createChooser(model: ListModel, offsets: Int32Array): Chooser {
  const { d, lists, numbers } = model;
  const dots = createDots(d, lists);
  dots.rows.set(model.codes);
  const means = new Float64Array(lists);
  const inverses = new Float64Array(lists);
  const sizes = Float64Array.from({ length: lists }, (_, l) => offsets[l + 1]! - offsets[l]!);
  const [leftMeans, leftInverses, leftSizes] = [means.slice(), means.slice(), means.slice()];
  const z = new Float32Array(lists);
  const places = new Uint16Array(lists);
  const names = Int32Array.from({ length: lists }, (_, i) => i);
  const active = new Int32Array(lists);
  const expected = new Float64Array(bins);
  const words = new Float64Array(bins);

  /** The t above which all lists together should hold `wanted` words; it lies between low and high. */
  const threshold = (wanted: number, low: number, high: number): number => {
    leftMeans.set(means);
    leftInverses.set(inverses);
    leftSizes.set(sizes);
    let left = lists;
    for (let round = 0; round < 40 && high - low > 1e-4 * Math.max(Math.abs(low), Math.abs(high)); round++) {
      const t = (low + high) / 2;
      let total = 0;
      for (let i = 0; i < left; i++) {
        const z = (leftMeans[i]! - t) * leftInverses[i]!;
        if (z > -span) total += leftSizes[i]! * shareAbove(z);
      }
      if (total < wanted) high = t;
      else {
        low = t;
        // Who has nothing above the lowest t has nothing above the others.
        let kept = 0;
        for (let i = 0; i < left; i++) {
          if ((leftMeans[i]! - low) * leftInverses[i]! <= -span) continue;
          leftMeans[kept] = leftMeans[i]!;
          leftInverses[kept] = leftInverses[i]!;
          leftSizes[kept++] = leftSizes[i]!;
        }
        left = kept;
      }
    }
    return low;
  };

  return {
    choose(query, scale, wanted, { nprobe, recall = 1 }) {
      const goal = 1 - (1 - recall) / caution;
      dots.query.set(query);
      dots.run(0, lists);
      const { sums } = dots;
      let square = 0;
      for (const code of query) square += code * code;
      square *= scale * scale;
      let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      for (let l = 0; l < lists; l++) {
        const mean = sums[l]! * numbers[4 * l]! * scale;
        const cosine = mean * numbers[4 * l + 1]!;
        const part = cosine * cosine;
        const rest = part < square ? square - part : 0;
        const variance = part * numbers[4 * l + 2]! + rest * numbers[4 * l + 3]!;
        means[l] = mean;
        // A list of equal words has no variance, but rounded scores.
        const deviation = Math.sqrt(variance + 1e-12 * square + 1e-30);
        inverses[l] = 1 / deviation;
        const reach = span * deviation;
        if (mean - reach < low) low = mean - reach;
        if (mean + reach > high) high = mean + reach;
      }
      const t = threshold(wanted, low, high);
      for (let l = 0; l < lists; l++) z[l] = (means[l]! - t) * inverses[l]!;
      if (nprobe !== undefined) {
        const keys = keysOf(z, lists);
        for (let take = nprobe; ; take = Math.min(2 * take, lists)) {
          const best = bestOf(keys, names, lists, take).slice().sort();
          let total = 0;
          for (const l of best) total += sizes[l]!;
          if (total >= wanted || take === lists) return best;
        }
      }
      // Counting by bins of z instead of sorting.
      expected.fill(0);
      words.fill(0);
      let all = 0;
      for (let l = 0; l < lists; l++) {
        const size = sizes[l]!;
        const bin = binOf(z[l]!);
        const share = size * table[bin]!;
        places[l] = bin;
        expected[bin]! += share;
        words[bin]! += size;
        all += share;
      }
      let bin = bins - 1;
      for (let [share, total] = [expected[bin]!, words[bin]!]; bin > 0; ) {
        if (total >= wanted && share >= goal * all) break;
        share += expected[--bin]!;
        total += words[bin]!;
      }
      let count = 0;
      for (let l = 0; l < lists; l++) if (places[l]! >= bin && sizes[l]! > 0) active[count++] = l;
      return active.slice(0, count);
    },
  };
}

/**
 * Words are not quite normal around their mean: more of them are missed than the model says, up to 2.5 times as many in the
 * indexes of `subvocab demo 100m`.
 */
const caution = 2.5;

/** z is looked at from -span to span, in steps of 1 / 256. */
const span = 5;
const perUnit = 256;
const bins = 2 * span * perUnit + 1;

function binOf(z: number): number {
  return z <= -span ? 0 : z >= span ? bins - 1 : ((z + span) * perUnit) | 0;
}

/** P(a normal number is below z), z a multiple of 1 / perUnit from -span on. */
const table = normalTable();

function shareAbove(z: number): number {
  if (z <= -span) return 0;
  return z >= span ? 1 : table[((z + span) * perUnit) | 0]!;
}

/** The sum of the density by the midpoint rule. exp(-y) = (1 - y / 2^20 + ...)^(2^20) by squaring: the same bits everywhere. */
function normalTable(): Float64Array {
  const out = new Float64Array(bins);
  for (let b = 1; b < bins; b++) {
    const x = (b - 0.5) / perUnit - span;
    const y = (x * x) / 2 / 2 ** 20;
    let density = 1 - y + (y * y) / 2;
    for (let i = 0; i < 20; i++) density *= density;
    out[b] = out[b - 1]! + density;
  }
  const total = out[bins - 1]!;
  return out.map((v) => v / total);
}
