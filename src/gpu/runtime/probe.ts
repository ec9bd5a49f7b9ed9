import { tensor } from '../../core/tensor.ts';
import type { Gpu } from './gpu.ts';

/** How an operation rounds, found from many operands. WGSL allows any choice between the two neighbours. */
export type Rounding = 'nearest' | 'toward zero' | 'upward' | 'downward' | 'mixed';

/** What the arithmetic of an adapter does where WGSL leaves it open. */
export interface ArithmeticProbe {
  readonly add: Rounding;
  readonly multiply: Rounding;
  readonly divide: Rounding;
  /** The builtin `fma`: one rounding or two. */
  readonly fma: 'one rounding' | 'two roundings' | 'mixed';
  /** `x * y + z` as it is written. */
  readonly multiplyAdd: 'one rounding' | 'two roundings' | 'mixed';
  readonly subnormals: 'kept' | 'flushed' | 'kept as inputs only' | 'kept as results only';
  readonly negativeZero: 'kept' | 'lost';
  readonly infinity: 'made and kept' | 'not reliable';
  readonly nan: 'kept' | 'not reliable';
  /** The compiler rearranges sums or products, as WGSL allows: compensated summation would be lost. */
  readonly rearranges: boolean;
  /**
   * Additions, products and fused sums round to nearest. Only then does the sharper line of a bound (SUSPECT) say
   * something about a kernel; elsewhere it would blame kernels for what the adapter may do.
   */
  readonly roundsToNearest: boolean;
  /** The same as a table for people: a question and what the adapter answered. */
  readonly rows: readonly { readonly question: string; readonly answer: string }[];
}

const file = 'runtime/probe.wgsl';
const count = 4096;

const specials = {
  one: 0x3f800000,
  half: 0x3f000000,
  negativeZero: 0x80000000,
  smallestNormal: 0x00800000,
  subnormal: 0x00000123,
  huge: 0x7f61b1e6, // 3e38
  nan: 0x7fc00000,
  infinity: 0x7f800000,
  tiny: 0x3089705f, // 1e-9
  third: 0x3eaaaaab,
} as const;

/** Ask an open adapter about its arithmetic. A few milliseconds. */
export async function probeArithmetic(gpu: Gpu): Promise<ArithmeticProbe> {
  const { x, y, z, triples } = operands();
  using given = gpu.upload(tensor([count, 4], triples));
  using rounded = gpu.empty('u32', [count * 5]);
  const groups = [count / 64] as const;
  gpu.dispatch({ file, entry: 'probeRounding', params: [count], reads: [given], writes: [rounded], groups });
  using words = gpu.upload(tensor([10], Uint32Array.from(Object.values(specials))));
  using answers = gpu.empty('u32', [14]);
  gpu.dispatch({ file, entry: 'probeSpecial', params: [1], reads: [words], writes: [answers], groups: [1] });
  const r = new Float32Array((await rounded.read()).data.buffer as ArrayBuffer);
  const a = (await answers.read()).data as Uint32Array;

  const column = (c: number): Float64Array => Float64Array.from({ length: count }, (_, i) => r[i * 5 + c]!);
  // The exact sum and product of these operands fit into f64; the quotient is far enough from a tie for f64 to tell.
  const add = rounding(column(0), (i) => x[i]! + y[i]!);
  const multiply = rounding(column(1), (i) => x[i]! * y[i]!);
  const divide = rounding(column(2), (i) => x[i]! / y[i]!);
  const fused = (c: number): ArithmeticProbe['fma'] => {
    let once = 0;
    let twice = 0;
    let differing = 0;
    for (let i = 0; i < count; i++) {
      const one = Math.fround(x[i]! * y[i]! + z[i]!);
      const two = Math.fround(Math.fround(x[i]! * y[i]!) + z[i]!);
      if (one === two) continue;
      differing++;
      if (r[i * 5 + c] === one) once++;
      else if (r[i * 5 + c] === two) twice++;
    }
    return once === differing ? 'one rounding' : twice === differing ? 'two roundings' : 'mixed';
  };
  const fma = fused(3);
  const multiplyAdd = fused(4);

  const is = (i: number, bits: number): boolean => a[i] === bits >>> 0;
  const isNan = (i: number): boolean => (a[i]! & 0x7fffffff) > 0x7f800000;
  const taken = is(0, specials.subnormal);
  const given_ = is(1, 0x00400000);
  const subnormals = taken
    ? given_
      ? 'kept'
      : 'kept as inputs only'
    : given_
      ? 'kept as results only'
      : 'flushed';
  const negativeZero = is(2, specials.negativeZero) && is(3, specials.negativeZero) ? 'kept' : 'lost';
  const infinity = is(4, specials.infinity) && is(5, specials.infinity) ? 'made and kept' : 'not reliable';
  const nan = isNan(6) && isNan(7) && is(9, 1) && isNan(13) ? 'kept' : 'not reliable';
  const rearranges = !is(10, 0) || !is(11, 0) || !is(12, specials.infinity);
  const roundsToNearest =
    add === 'nearest' && multiply === 'nearest' && fma !== 'mixed' && multiplyAdd !== 'mixed';
  const rows = [
    ['x + y', add],
    ['x * y', multiply],
    ['x / y', divide],
    ['fma(x, y, z)', fma],
    ['x * y + z', multiplyAdd],
    ['subnormal numbers', subnormals],
    ['the sign of zero', negativeZero],
    ['infinity', infinity],
    ['NaN', `${nan}; max(NaN, 1) is ${isNan(8) ? 'NaN' : new Float32Array(a.buffer)[8]}`],
    ['(x + 1) - 1, (x * y) / y', rearranges ? 'rearranged by the compiler' : 'computed as written'],
  ] as const;
  return {
    add,
    multiply,
    divide,
    fma,
    multiplyAdd,
    subnormals,
    negativeZero,
    infinity,
    nan,
    rearranges,
    roundsToNearest,
    rows: rows.map(([question, answer]) => ({ question, answer })),
  };
}

/** Numbers in +-[1, 2) and addends of like size: the exact results fit into f64, and roundings of all kinds occur. */
function operands(): { x: Float32Array; y: Float32Array; z: Float32Array; triples: Float32Array } {
  const x = new Float32Array(count);
  const y = new Float32Array(count);
  const z = new Float32Array(count);
  const triples = new Float32Array(count * 4);
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (1 + (state >>> 9) / 2 ** 23) * (state & 1 ? -1 : 1);
  };
  for (let i = 0; i < count; i++) {
    x[i] = next();
    y[i] = next() / 8;
    z[i] = next();
    // A vec3f in a storage array takes four words.
    triples.set([x[i]!, y[i]!, z[i]!], i * 4);
  }
  return { x, y, z, triples };
}

/** Which rounding turns the exact results into the ones that were got. Exact results in f64 carry no error here. */
function rounding(got: Float64Array, exact: (i: number) => number): Rounding {
  const hits = { nearest: 0, 'toward zero': 0, upward: 0, downward: 0 };
  for (let i = 0; i < count; i++) {
    const e = exact(i);
    const near = Math.fround(e);
    const below = near <= e ? near : neighbour(near, -1);
    const above = near >= e ? near : neighbour(near, 1);
    if (got[i] === near) hits.nearest++;
    if (got[i] === below) hits.downward++;
    if (got[i] === above) hits.upward++;
    if (got[i] === (e >= 0 ? below : above)) hits['toward zero']++;
  }
  const all = (Object.keys(hits) as (keyof typeof hits)[]).find((k) => hits[k] === count);
  return all ?? 'mixed';
}

/** The next f32 toward +infinity (1) or -infinity (-1). */
function neighbour(v: number, direction: 1 | -1): number {
  const f = Float32Array.of(v);
  const bits = new Int32Array(f.buffer);
  bits[0]! += (v >= 0 ? 1 : -1) * direction;
  return f[0]!;
}
