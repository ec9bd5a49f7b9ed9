/** What is said about a set of samples: order statistics, because times have long tails, and how sure the median is. */
export interface Summary {
  readonly n: number;
  readonly min: number;
  readonly q1: number;
  readonly median: number;
  readonly q3: number;
  readonly max: number;
  /** Median absolute deviation. */
  readonly mad: number;
  /** 95 % interval of the median, by bootstrap. */
  readonly ci: readonly [number, number];
}

const resamples = 1000;

/** The value below which a share p of the samples lies, interpolated. */
export function quantile(sorted: readonly number[], p: number): number {
  const at = (sorted.length - 1) * p;
  const low = Math.floor(at);
  const a = sorted[low]!;
  const b = sorted[Math.min(low + 1, sorted.length - 1)]!;
  return a + (b - a) * (at - low);
}

export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

export function summarize(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = quantile(sorted, 0.5);
  return {
    n: sorted.length,
    min: sorted[0]!,
    q1: quantile(sorted, 0.25),
    median: middle,
    q3: quantile(sorted, 0.75),
    max: sorted.at(-1)!,
    mad: median(sorted.map((v) => Math.abs(v - middle))),
    ci: bootstrap(1, (draw) => median(draw(samples))),
  };
}

/** How many times as long `theirs` takes as `ours`: the ratio of the medians and its 95 % interval. */
export function ratioOf(
  theirs: readonly number[],
  ours: readonly number[],
): { ratio: number; ci: readonly [number, number] } {
  return {
    ratio: median(theirs) / median(ours),
    ci: bootstrap(2, (draw) => median(draw(theirs)) / median(draw(ours))),
  };
}

/** Percentile bootstrap: the statistic of many resamples with replacement. The same samples give the same interval. */
function bootstrap(
  seed: number,
  statistic: (draw: (from: readonly number[]) => number[]) => number,
): [number, number] {
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const draw = (from: readonly number[]): number[] =>
    from.map(() => from[Math.floor(random() * from.length)]!);
  const values = Array.from({ length: resamples }, () => statistic(draw)).sort((a, b) => a - b);
  return [quantile(values, 0.025), quantile(values, 0.975)];
}

/** The step of a clock: the greatest common divisor of differences that it showed. */
export function quantum(differences: readonly number[]): number {
  let g = 0;
  for (let d of differences) {
    d = Math.abs(Math.round(d));
    while (d > 0) [g, d] = [d, g % d];
  }
  return g;
}
