import { foldIn, key } from '../../src/core/key.ts';
import { type Shape, sizeOf, type Tensor, tensor } from '../../src/core/tensor.ts';
import type { Gpu, GpuTensor } from '../../src/gpu/index.ts';
import { samOutConfig } from '../../src/models/samOut/config.ts';
import { SamOut, samOutLoss } from '../../src/models/samOut/model.ts';
import { initialParameters } from '../../src/models/samOut/parameters.ts';
import { SamOutTrainer } from '../../src/models/samOut/trainer.ts';
import { randomBits } from '../../src/ref/randomBits.ts';

const d = 512;

/**
 * Median milliseconds of each of several ways to do a thing, run in turns. Where a CPU does the work it is CPU time: what
 * others do on the machine does not reach it.
 */
async function inTurns(gpu: Gpu, ways: readonly (() => void)[], seconds = 3): Promise<number[]> {
  const times: number[][] = ways.map(() => []);
  const once = async (i: number): Promise<number> => {
    const cpu = process.cpuUsage();
    const before = performance.now();
    ways[i]!();
    await gpu.idle();
    const { user, system } = process.cpuUsage(cpu);
    return gpu.choice.chosen.software ? (user + system) / 1000 : performance.now() - before;
  };
  // The first run compiles, the second fills the pool.
  for (let round = 0; round < 2; round++) for (const i of ways.keys()) await once(i);
  const started = performance.now();
  while (times[0]!.length < 3 || (performance.now() - started < seconds * 1000 && times[0]!.length < 31)) {
    for (const i of ways.keys()) times[i]!.push(await once(i));
  }
  return times.map((t) => t.sort((a, b) => a - b)[t.length >> 1]!);
}

function weights(gpu: Gpu): (shape: Shape) => GpuTensor {
  let seed = 0;
  return (shape) => {
    const { data } = randomBits(key(++seed), shape);
    const scale = 2 / Math.sqrt(shape.at(-1)!);
    return gpu.upload(
      tensor(
        shape,
        Float32Array.from(data, (v) => (v / 2 ** 32 - 0.5) * scale),
      ),
    );
  };
}

/** A SamOut block and a standard block of the same width, from the same operators, without dropout. */
export class Blocks implements Disposable {
  readonly #gpu: Gpu;
  readonly #all: GpuTensor[] = [];
  readonly #p: Record<string, GpuTensor>;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    const make = weights(gpu);
    const one = (shape: Shape): GpuTensor => {
      const t = make(shape);
      this.#all.push(t);
      return t;
    };
    const names: Record<string, Shape> = {
      ...{ combined: [3 * d, d], w1: [d, d], b1: [d], wg: [d, d], bg: [d], w2: [d, d], b2: [d] },
      ...{ q: [d, d], k: [d, d], v: [d, d], o: [d, d], bias: [d] },
      ...{ up: [4 * d, d], upBias: [4 * d], down: [d, 4 * d], downBias: [d], gamma: [d], beta: [d] },
      ...{ alphas: [5], alpha: [1] },
    };
    this.#p = Object.fromEntries(Object.entries(names).map(([name, shape]) => [name, one(shape)]));
  }

  /** The step that lets positions see each other: one projection, and the running maximum. */
  mixing(x: GpuTensor, carry?: GpuTensor): GpuTensor {
    const { ops } = this.#gpu;
    const { combined, alphas } = this.#p;
    using abc = ops.matmul(x, combined!, { transposeB: true });
    const { y, carryOut, states } = ops.maxState(abc, alphas!, carry === undefined ? {} : { carryIn: carry });
    carryOut[Symbol.dispose]();
    states[Symbol.dispose]();
    return y;
  }

  /**
   * The same by softmax attention: four projections, scores, softmax, values. One head: the number of heads changes the
   * order of the arithmetic, not its amount. No causal mask, which would cost more. With keys and values given, x is the
   * newest position and they are the context; writing its own key and value there is not counted.
   */
  attention(x: GpuTensor, keys?: GpuTensor, values?: GpuTensor): GpuTensor {
    const { ops } = this.#gpu;
    const { q, k, v, o, bias } = this.#p;
    const transposed = { transposeB: true, bias: bias! };
    using query = ops.matmul(x, q!, transposed);
    using ownKeys = ops.matmul(x, k!, transposed);
    using ownValues = ops.matmul(x, v!, transposed);
    using scores = ops.matmul(query, keys ?? ownKeys, { transposeB: true });
    using shares = ops.softmax(scores);
    using seen = ops.matmul(shares, values ?? ownValues);
    return ops.matmul(seen, o!, transposed);
  }

  samOut(x: GpuTensor, carry?: GpuTensor): void {
    const { ops } = this.#gpu;
    const { w1, b1, wg, bg, w2, b2, gamma, beta, alpha } = this.#p as Record<string, GpuTensor> & {
      [K in 'w1' | 'b1' | 'wg' | 'bg' | 'w2' | 'b2' | 'gamma' | 'beta' | 'alpha']: GpuTensor;
    };
    using o = this.mixing(x, carry);
    using f = ops.gatedFfn(o, { w1, b1, wg, bg, w2, b2 }, { activation: 'relu' });
    using blend = ops.lerp(x, f, alpha);
    using normed = ops.layerNorm(blend, gamma, beta);
    ops.add(normed.y, x)[Symbol.dispose]();
  }

  standard(x: GpuTensor, keys?: GpuTensor, values?: GpuTensor): void {
    const { ops } = this.#gpu;
    const { up, upBias, down, downBias, gamma, beta } = this.#p;
    using first = ops.layerNorm(x, gamma!, beta!);
    using attended = this.attention(first.y, keys, values);
    using x1 = ops.add(attended, x);
    using second = ops.layerNorm(x1, gamma!, beta!);
    using wide = ops.matmul(second.y, up!, { transposeB: true, bias: upBias! });
    using active = ops.gelu(wide, { form: 'tanh' });
    using f = ops.matmul(active, down!, { transposeB: true, bias: downBias! });
    ops.add(f, x1)[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    for (const t of this.#all) t[Symbol.dispose]();
  }
}

export interface Measured {
  /** One projection of [3d, d], and three of [d, d], in ms. */
  readonly projection: readonly number[];
  /** T, then ms of mixing, attention, the SamOut block, the standard block. */
  readonly sequence: readonly (readonly number[])[];
  /** The same for one more position after n. */
  readonly step: readonly (readonly number[])[];
  readonly loss: {
    readonly floor: number;
    readonly fresh: number;
    readonly start: number;
    readonly steps: number;
  };
  /** Nats of the seed's model with its start values, on uniform tokens. */
  readonly initial: number;
}

export async function measure(gpu: Gpu, say: (line: string) => void): Promise<Measured> {
  const make = weights(gpu);
  using blocks = new Blocks(gpu);
  say('one projection and three');
  using x = make([392, d]);
  using merged = make([3 * d, d]);
  using single = make([d, d]);
  const { ops } = gpu;
  const projection = await inTurns(gpu, [
    () => ops.matmul(x, merged, { transposeB: true })[Symbol.dispose](),
    () => {
      for (let i = 0; i < 3; i++) ops.matmul(x, single, { transposeB: true })[Symbol.dispose]();
    },
  ]);
  const sequence: number[][] = [];
  for (const length of [49, 256, 1024, 2048]) {
    say(`sequences of ${length}`);
    using rows = make([1, length, d]);
    const ms = await inTurns(gpu, [
      () => blocks.mixing(rows)[Symbol.dispose](),
      () => blocks.attention(rows)[Symbol.dispose](),
      () => blocks.samOut(rows),
      () => blocks.standard(rows),
    ]);
    sequence.push([length, ...ms]);
  }
  const step: number[][] = [];
  for (const context of [1, 100, 1000, 10_000]) {
    say(`a step after ${context}`);
    using row = make([1, 1, d]);
    using carry = make([1, d]);
    using keys = make([1, context, d]);
    using values = make([1, context, d]);
    // Not in turns with each other: keys and values would drive the weights of the other out of the caches.
    const [mixing, samOut] = await inTurns(gpu, [
      () => blocks.mixing(row, carry)[Symbol.dispose](),
      () => blocks.samOut(row, carry),
    ]);
    const [attention, standard] = await inTurns(gpu, [
      () => blocks.attention(row, keys, values)[Symbol.dispose](),
      () => blocks.standard(row, keys, values),
    ]);
    step.push([context, mixing!, attention!, samOut!, standard!]);
  }
  say('learning from uniform tokens');
  const loss = await uniformLoss(gpu);
  say("the seed's model at its start");
  return { projection, sequence, step, loss, initial: await initialLoss(gpu) };
}

/** Uniform ids below `words`, other ones for every n. */
function tokens(words: number, rows: number, length: number, n: number): Tensor {
  const bits = randomBits(foldIn(key(77), n), [rows, length]).data;
  return tensor(
    [rows, length],
    Int32Array.from(bits, (b) => Math.floor((b / 2 ** 32) * words)),
  );
}

/** Train on fresh uniform tokens of 64 words, then measure on tokens never seen. */
async function uniformLoss(gpu: Gpu): Promise<Measured['loss']> {
  const words = 64;
  const steps = 150;
  const config = samOutConfig({ vocabulary: words + 1, width: 64, heads: 8, layers: 2, paddingIndex: words });
  using model = new SamOut(gpu, config, await initialParameters(gpu, config, key(1)));
  using trainer = new SamOutTrainer(model);
  let start = 0;
  for (let i = 0; i < steps; i++) {
    const { loss } = await trainer.train(tokens(words, 16, 33, i));
    if (i === 0) start = loss;
  }
  let sum = 0;
  const batches = 10;
  for (let i = 0; i < batches; i++) sum += await lossOf(gpu, model, tokens(words, 16, 33, 10_000 + i));
  return { floor: Math.log(words), fresh: sum / batches, start, steps };
}

async function initialLoss(gpu: Gpu): Promise<number> {
  const config = samOutConfig();
  using model = new SamOut(gpu, config, await initialParameters(gpu, config, key(1)));
  return await lossOf(gpu, model, tokens(config.vocabulary, 4, 50, 0));
}

async function lossOf(gpu: Gpu, model: SamOut<GpuTensor>, rows: Tensor): Promise<number> {
  const [batch = 0, length = 0] = rows.shape;
  const cut = (from: number): Tensor => {
    const out = new Int32Array(sizeOf([batch, length - 1]));
    for (let r = 0; r < batch; r++)
      out.set(
        (rows.data as Int32Array).subarray(r * length + from, r * length + from + length - 1),
        r * (length - 1),
      );
    return tensor([batch, length - 1], out);
  };
  using inputs = gpu.upload(cut(0));
  using targets = gpu.upload(cut(1));
  const made = samOutLoss(gpu.ops, model.config, model.parameters, inputs, targets);
  made.state[Symbol.dispose]();
  made.count[Symbol.dispose]();
  using loss = made.loss;
  return (await loss.read()).data[0]!;
}
