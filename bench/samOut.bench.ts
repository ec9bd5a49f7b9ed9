import { compareBound, failure, pass, type Verdict } from '../src/core/bounds.ts';
import { key } from '../src/core/key.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { type Gpu, type GpuTensor, openGpu } from '../src/gpu/index.ts';
import { type SamOutConfig, samOutConfig } from '../src/models/samOut/config.ts';
import { SamOut, type SamOutState } from '../src/models/samOut/model.ts';
import { initialParameters, listParameters, parameterCount } from '../src/models/samOut/parameters.ts';
import { SamOutTrainer } from '../src/models/samOut/trainer.ts';
import { refBackend } from '../src/ref/backend.ts';
import type { Benchmark, Tier } from './support/benchmark.ts';
import type { Participant } from './support/participant.ts';
import { median } from './support/stats.ts';
import { type Result, type SamOutSizes, uniform } from './support/work.ts';

/** The whole model: a training step, and generation after contexts of 1, 1,000 and 100,000 tokens. */
export function benchmarks(tier: Tier): Benchmark[] {
  if (tier === 'cpu') return [];
  // The seed's sizes; where a step of them would take a minute, a smaller model on the same batch.
  const sizes: SamOutSizes =
    tier === 'full'
      ? { vocabulary: 8460, width: 512, layers: 8, paddingIndex: 259 }
      : { vocabulary: 1024, width: 64, layers: 4, paddingIndex: 259 };
  const about = `V ${sizes.vocabulary} d ${sizes.width} L ${sizes.layers}`;
  return [training(sizes, about), generation(sizes, about)];
}

const configOf = (sizes: SamOutSizes): SamOutConfig => samOutConfig({ ...sizes, heads: 8 });
const start = (sizes: SamOutSizes) => initialParameters(refBackend, configOf(sizes), key(1));

/** Ids without the padding index, any two calls alike. */
function tokensOf({ vocabulary }: SamOutSizes, count: number, from = 0): Int32Array {
  return Int32Array.from(
    { length: count },
    (_, i) => ((Math.imul(i + from, 40503) >>> 8) % (vocabulary - 300)) + 300,
  );
}

const batch = 32;
const length = 49;

function training(sizes: SamOutSizes, about: string): Benchmark {
  const tokens = tensor([batch, length + 1], tokensOf(sizes, batch * (length + 1)));
  const { width: d, layers, vocabulary } = sizes;
  const positions = batch * length;
  /** All participants begin with the same parameters, so the loss of their first step is one number. */
  const check = ([loss]: Result, want: Readonly<Record<string, Tensor>>): Verdict =>
    compareBound(want.loss!, tensor([1], loss as Float32Array), {
      fail: Float64Array.of(1e-3),
      why: 'the loss of the first step, within 1e-3',
    });
  return {
    op: 'samOut',
    label: `training step, ${positions} tokens`,
    shape: `${batch} x ${length}, ${about}`,
    inputs: () => ({}),
    // A matrix product costs as much again for each of its two gradients.
    flops: 3 * positions * (layers * 12 * d * d + 2 * vocabulary * d),
    model: {
      async want() {
        const model = new SamOut(refBackend, configOf(sizes), await start(sizes));
        using trainer = new SamOutTrainer(model);
        // The first row alone would be another mean: the reference takes the batch, forward only.
        return { loss: tensor([1], [await trainer.loss(tokens)]) };
      },
      async ours(gpu, want): Promise<Participant> {
        const model = new SamOut(gpu, configOf(sizes), await start(sizes));
        const trainer = new SamOutTrainer(model);
        let first: number | undefined;
        return {
          name: 'subvocab',
          version: '',
          role: 'ours',
          kind: 'webgpu',
          async run() {
            const { loss } = await trainer.train(tokens);
            first ??= loss;
            await gpu.idle();
          },
          verdict: async () => check([Float32Array.of(first ?? Number.NaN)], want),
          quality: () => memory(gpu, sizes, tokens),
          dispose() {
            trainer[Symbol.dispose]();
            model[Symbol.dispose]();
          },
        };
      },
    },
    peers: [
      {
        work: () => ({
          kind: 'samOutTrain',
          ...sizes,
          batch,
          length,
          tokens: tokens.data as Int32Array,
          start: flatStart,
        }),
        check,
        probe: {
          // A quarter: with fewer rows a peer would spend its time on the calls alone.
          times: 4,
          work: () => ({
            kind: 'samOutTrain',
            ...sizes,
            batch: batch / 4,
            length,
            tokens: (tokens.data as Int32Array).slice(0, (batch / 4) * (length + 1)),
            start: flatStart,
          }),
        },
      },
    ],
  };

  async function flatStart(): Promise<Float32Array[]> {
    return listParameters(await start(sizes)).map((t) => t.data as Float32Array);
  }
}

/**
 * The most bytes that a step on a fresh device holds, and the least it must: parameters, gradients and two moments, and per
 * layer and position what the backward operators read (x, abc, o, f, the blend; a state per 16 positions; two statistics).
 */
async function memory(gpu: Gpu, sizes: SamOutSizes, tokens: Tensor): Promise<Record<string, number>> {
  const { width: d, layers, vocabulary } = sizes;
  const config = configOf(sizes);
  await using own = await openGpu({ adapter: gpu.choice.chosen.name, family: gpu.family });
  {
    using model = new SamOut(own, config, await start(sizes));
    using trainer = new SamOutTrainer(model);
    for (let i = 0; i < 3; i++) await trainer.train(tokens);
  }
  const { tensors, scalars } = parameterCount(config);
  const positions = batch * length;
  const saved = layers * (positions * (7 * d + 2) + batch * Math.ceil(length / 16) * d) + positions * d;
  const mib = (floats: number): number => (4 * floats) / 2 ** 20;
  return {
    'peak MiB of a step': own.pool.peakBytes / 2 ** 20,
    'least MiB: parameters, gradients, moments': mib(4 * (tensors + scalars)),
    'least MiB: saved activations': mib(saved),
    'MiB of logits that were never held': mib(positions * vocabulary),
    'peak MiB of crossEntropy and its gradient at the sizes of the seed': await lossPeak(gpu, true),
    'peak MiB of the same by matmul and crossEntropyLogits': await lossPeak(gpu, false),
  };
}

/** The most MiB held for the loss at the seed's sizes and its gradient: fused, or with all logits in memory. */
async function lossPeak(gpu: Gpu, fused: boolean): Promise<number> {
  await using own = await openGpu({ adapter: gpu.choice.chosen.name, family: gpu.family });
  const { ops } = own;
  using x = own.upload(tensor([batch * length, 512], uniform(batch * length * 512, 1)));
  using w = own.upload(tensor([8460, 512], uniform(8460 * 512, 2)));
  using targets = own.upload(tensor([batch * length], new Int32Array(batch * length).fill(5)));
  using one = own.upload(tensor([], [1]));
  if (fused) {
    using made = ops.crossEntropy(x, w, targets);
    ops.crossEntropyBackward(one, x, w, targets, made.lse, made.count)[Symbol.dispose]();
  } else {
    using logits = ops.matmul(x, w, { transposeB: true });
    using made = ops.crossEntropyLogits(logits, targets);
    using dLogits = ops.crossEntropyLogitsBackward(one, logits, targets, made.lse, made.count);
    ops.matmulBackward(dLogits, x, w, { transposeB: true })[Symbol.dispose]();
  }
  await own.idle();
  return own.pool.peakBytes / 2 ** 20;
}

/** Contexts of the curve. */
const contexts = [1, 1000, 100_000];

/** Eight tokens, one after another. Peers show one point; ours shows the curve over the contexts, measured in turns. */
function generation(sizes: SamOutSizes, about: string): Benchmark {
  const count = 8;
  const promptOf = (context: number): Int32Array => tokensOf(sizes, context, 7);
  const flat = async (): Promise<Float32Array[]> =>
    listParameters(await start(sizes)).map((t) => t.data as Float32Array);
  return {
    op: 'samOut',
    label: `${count} tokens, one by one`,
    shape: `1 x ${count}, ${about}`,
    inputs: () => ({}),
    flops: count * (sizes.layers * 12 * sizes.width ** 2 + 2 * sizes.vocabulary * sizes.width),
    model: {
      async want() {
        using model = new SamOut(refBackend, configOf(sizes), await start(sizes));
        const [ids, later] = [
          await greedy(model, promptOf(1), count),
          await greedy(model, promptOf(1000), count),
        ];
        return { ids: tensor([count], Int32Array.from(ids)), later: tensor([count], Int32Array.from(later)) };
      },
      async ours(gpu, want): Promise<Participant> {
        const model = new SamOut(gpu, configOf(sizes), await start(sizes));
        let got = '';
        const states = new Map<number, SamOutState<GpuTensor> | undefined>();
        const after = async (context: number): Promise<string> => {
          const prompt = promptOf(context);
          if (!states.has(context)) states.set(context, await read(model, prompt.subarray(0, -1)));
          return (await continued(model, states.get(context), prompt.at(-1)!, count)).join();
        };
        return {
          name: 'subvocab',
          version: '',
          role: 'ours',
          kind: 'webgpu',
          async run() {
            got = await after(1);
          },
          async verdict() {
            const later = await after(1000);
            const right = got === [...want.ids!.data].join() && later === [...want.later!.data].join();
            return right ? pass() : failure(`got ${got} and ${later}`);
          },
          quality: () => curve(gpu, count, after),
          dispose() {
            for (const state of states.values()) state?.[Symbol.dispose]();
            model[Symbol.dispose]();
          },
        };
      },
    },
    peers: [
      {
        work: () => ({ kind: 'samOutStep', ...sizes, count, prompt: promptOf(1), start: flat }),
        check: ([ids]: Result, { ids: want }: Readonly<Record<string, Tensor>>): Verdict =>
          [...ids!].join() === [...want!.data].join() ? pass() : failure(`got ${[...ids!].join()}`),
      },
    ],
  };
}

/** Tokens per second after each context, in turns; by CPU time where a CPU does the work, which others do not disturb. */
async function curve(
  gpu: Gpu,
  count: number,
  after: (context: number) => Promise<string>,
): Promise<Record<string, number>> {
  const { software } = gpu.choice.chosen;
  const times = new Map<number, number[]>(contexts.map((c) => [c, []]));
  for (let round = 0; round < 16; round++) {
    for (const context of contexts) {
      const cpu = process.cpuUsage();
      const before = performance.now();
      await after(context);
      const { user, system } = process.cpuUsage(cpu);
      // The first round reads the contexts.
      if (round > 0) times.get(context)!.push(software ? (user + system) / 1000 : performance.now() - before);
    }
  }
  const clock = software ? 'second of CPU time' : 'second';
  return Object.fromEntries(
    contexts.map((c) => [
      `tokens per ${clock} after ${c.toLocaleString('en-US')}`,
      (1000 * count) / median(times.get(c)!),
    ]),
  );
}

/** The state after ids, read in chunks. */
async function read(model: SamOut<GpuTensor>, ids: Int32Array): Promise<SamOutState<GpuTensor> | undefined> {
  let state: SamOutState<GpuTensor> | undefined;
  for (let at = 0; at < ids.length; at += 2000) {
    const part = ids.slice(at, at + 2000);
    const next = model.advance(tensor([1, part.length], part), state);
    state?.[Symbol.dispose]();
    state = next;
    await model.backend.read(state.layers[0]!);
  }
  return state;
}

/** The most probable ids, one after another. */
async function continued<T extends Tensor | GpuTensor>(
  model: SamOut<T>,
  before: SamOutState<T> | undefined,
  last: number,
  count: number,
): Promise<number[]> {
  const ids: number[] = [];
  let state = before;
  let id = last;
  for (let i = 0; i < count; i++) {
    const made = model.last(tensor([1, 1], Int32Array.of(id)), state);
    if (state !== before) state?.[Symbol.dispose]();
    state = made.state;
    using logits = made.logits;
    using drawn = model.backend.ops.sampleLogits(logits, { temperature: 0, key: key(0) });
    id = (await model.backend.read(drawn.ids)).data[0]!;
    ids.push(id);
  }
  if (state !== before) state?.[Symbol.dispose]();
  return ids;
}

async function greedy(model: SamOut<Tensor>, prompt: Int32Array, count: number): Promise<number[]> {
  const rest = prompt.slice(0, -1);
  const state = rest.length === 0 ? undefined : model.advance(tensor([1, rest.length], rest));
  return await continued(model, state, prompt.at(-1)!, count);
}
