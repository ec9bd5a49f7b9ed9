import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Tape } from '../src/core/autograd.ts';
import type { Backend } from '../src/core/backend.ts';
import { readSafetensors } from '../src/core/formats/safetensors.ts';
import { key } from '../src/core/key.ts';
import { type AnyTensor, type Tensor, tensor } from '../src/core/tensor.ts';
import { type SamOutConfig, samOutConfig } from '../src/models/samOut/config.ts';
import { sequenceNats } from '../src/models/samOut/evaluate.ts';
import { generate } from '../src/models/samOut/generate.ts';
import { SamOut, type SamOutState, samOutLoss } from '../src/models/samOut/model.ts';
import {
  initialParameters,
  listParameters,
  mapParameters,
  parameterCount,
  parameterShapes,
} from '../src/models/samOut/parameters.ts';
import { configOf, fromStateDict, toStateDict } from '../src/models/samOut/stateDict.ts';
import { DivergedError, SamOutTrainer } from '../src/models/samOut/trainer.ts';
import { refBackend } from '../src/ref/backend.ts';
import { noiseArray } from '../src/verify/case.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';

// Plan: the numbers of parameters; PyTorch's names in and out, with what is wrong named; against PyTorch: logits, loss,
// gradients, and the parameters after 20 Adam steps, on both twins; token by token, chunk by chunk and all at once agree;
// left padding and packed documents; the whole model's gradient by central differences; heads change no bit; generation is
// repeatable; a step in steady state creates no buffer.

const { tensors: oracle } = readSafetensors(
  new Uint8Array(readFileSync(new URL('./vectors/samOut.safetensors', import.meta.url))),
);
const under = (prefix: string): Record<string, Tensor> =>
  Object.fromEntries(
    [...oracle].filter(([k]) => k.startsWith(prefix)).map(([k, t]) => [k.slice(prefix.length), t]),
  );
const dict = under('model.');
const config = samOutConfig({ heads: 4, paddingIndex: 259, ...configOf(dict) });
const parameters = fromStateDict(config, dict);
const ids = oracle.get('ids')!;
const ignoreIndex = 3;

/** Largest difference of two tensors in units of `1 + |want|`. */
function distance(got: Tensor, want: Tensor): number {
  expect(got.size).toBe(want.size);
  let worst = 0;
  for (let i = 0; i < want.size; i++) {
    const d = Math.abs(got.data[i]! - want.data[i]!) / (1 + Math.abs(want.data[i]!));
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

async function logitsOf<T extends AnyTensor>(
  backend: Backend<T>,
  chunks: readonly Tensor[],
  options: { mask?: Tensor; reset?: Tensor } = {},
  p = parameters,
): Promise<Tensor[]> {
  using model = new SamOut(backend, config, p);
  let state: SamOutState<T> | undefined;
  const out: Tensor[] = [];
  for (const chunk of chunks) {
    const made = model.forward(chunk, state, options);
    state?.[Symbol.dispose]();
    state = made.state;
    using logits = made.logits;
    out.push(await backend.read(logits));
  }
  state?.[Symbol.dispose]();
  return out;
}

/** Columns [from, to) of [B, T]. */
function columns(t: Tensor, from: number, to: number): Tensor {
  const [rows = 0, length = 0] = t.shape;
  const out = new Int32Array(rows * (to - from));
  for (let r = 0; r < rows; r++)
    out.set((t.data as Int32Array).subarray(r * length + from, r * length + to), r * (to - from));
  return tensor([rows, to - from], out);
}

describe('parameters', () => {
  test("the seed's model has 21,266,432 numbers and 48 scalars, not the 2,763,532 that it claims", () => {
    expect(parameterCount(samOutConfig())).toEqual({ tensors: 21_266_432, scalars: 48 });
    expect(parameterCount(samOutConfig({ tied: true })).tensors).toBe(16_934_912);
  });

  test('go out under the names they came in with', () => {
    const back = toStateDict(parameters);
    expect(Object.keys(back).sort()).toEqual(Object.keys(dict).sort());
    for (const [name, t] of Object.entries(back)) expect(t.data, name).toEqual(dict[name]!.data);
  });

  test('a checkpoint that does not fit is refused by name', () => {
    const { 'head.weight': head, ...rest } = dict;
    expect(() => fromStateDict(config, rest)).toThrow('1 tensors are missing: head.weight');
    expect(() => fromStateDict(config, { ...dict, extra: head! })).toThrow(
      '1 tensors do not belong to it: extra',
    );
    const wide = { ...dict, 'head.weight': tensor([300, 17], new Float32Array(5100)) };
    expect(() => fromStateDict(config, wide)).toThrow(
      'head.weight has shape [300, 17]; it must be [300, 16]',
    );
    const broken = tensor(
      [300, 16],
      Float32Array.from(head!.data, (v, i) => (i === 5 ? Number.NaN : v)),
    );
    expect(() => fromStateDict(config, { ...dict, 'head.weight': broken })).toThrow(
      'head.weight holds NaN at element 5',
    );
    expect(() => configOf({})).toThrow('there is no matrix em.weight');
  });

  test('a configuration that cannot be is refused with the value', () => {
    expect(() => samOutConfig({ heads: 3 })).toThrow('heads is 3; it must divide the width 512');
    expect(() => samOutConfig({ layers: 0 })).toThrow('layers is 0');
    expect(() => samOutConfig({ depth: 3 } as never)).toThrow('there is no field "depth"');
  });

  test('start as PyTorch starts them', async () => {
    const small = samOutConfig({ vocabulary: 300, width: 64, heads: 1, layers: 1 });
    const p = await initialParameters(refBackend, small, key(1));
    const mean = (d: ArrayLike<number>): number => Array.from(d).reduce((a, b) => a + b, 0) / d.length;
    const square = Array.from(p.embedding.data, (v) => v * v);
    expect(mean(square)).toBeCloseTo(299 / 300, 1);
    expect([...p.embedding.data.slice(259 * 64, 260 * 64)].every((v) => v === 0)).toBe(true);
    expect(Math.max(...Array.from(p.layers[0]!.w1.data, Math.abs))).toBeLessThanOrEqual(1 / 8);
    expect([...p.layers[0]!.alphas.data]).toEqual([0.5, 0.5, 0.5, 0.5, 0.5]);
  });
});

describe('against PyTorch, on the reference', () => {
  // PyTorch computes in f32 with its own order of sums; the reference rounds once per operator. What is left after two
  // layers is a few units of 1e-6; 20 Adam steps move each weight by up to 0.02 and amplify it.
  test('logits', async () => {
    const [got] = await logitsOf(refBackend, [ids]);
    expect(distance(got!, oracle.get('logits')!)).toBeLessThan(1e-5);
  });

  test('loss and the gradient of every parameter', () => {
    using tape = new Tape(refBackend);
    const taped = mapParameters(parameters, (t) => tape.parameter(t));
    const { loss } = samOutLoss(
      tape.ops,
      config,
      taped,
      tape.constant(ids),
      tape.constant(oracle.get('targets')!),
      { ignoreIndex },
    );
    expect(loss.value.data[0]).toBeCloseTo(oracle.get('loss')!.data[0]!, 5);
    const list = tape.backward(loss, listParameters(taped));
    let i = 0;
    const named = toStateDict(mapParameters(parameters, () => list[i++]!));
    for (const [name, want] of Object.entries(under('grad.')))
      expect(distance(named[name]!, want), name).toBeLessThan(1e-5);
  });

  test('losses and parameters of 20 Adam steps', async () => {
    using model = new SamOut(refBackend, config, parameters);
    await expectTraining(model);
  });
});

async function expectTraining<T extends AnyTensor>(model: SamOut<T>): Promise<void> {
  const tokens = oracle.get('tokens')!;
  const [steps = 0, rows = 0, length = 0] = tokens.shape;
  using trainer = new SamOutTrainer(model, { ignoreIndex });
  for (let s = 0; s < steps; s++) {
    const batch = (tokens.data as Int32Array).slice(s * rows * length, (s + 1) * rows * length);
    const { loss } = await trainer.train(tensor([rows, length], batch));
    expect(Math.abs(loss - oracle.get('losses')!.data[s]!)).toBeLessThan(2e-4);
  }
  const after = toStateDict(await model.read());
  for (const [name, want] of Object.entries(under('after.')))
    expect(distance(after[name]!, want), name).toBeLessThan(2e-3);
}

describe('the model', () => {
  test('token by token, in chunks and all at once give the same logits, bit for bit on the reference', async () => {
    const [whole] = await logitsOf(refBackend, [ids]);
    const length = ids.shape[1]!;
    for (const cuts of [Array.from({ length: length + 1 }, (_, i) => i), [0, 5, 6, length]]) {
      const parts = await logitsOf(
        refBackend,
        cuts.slice(1).map((to, i) => columns(ids, cuts[i]!, to)),
      );
      const [rows = 0] = ids.shape;
      for (const [i, part] of parts.entries()) {
        const width = cuts[i + 1]! - cuts[i]!;
        for (let r = 0; r < rows; r++) {
          const got = part.data.slice(r * width * 300, (r + 1) * width * 300);
          const at = (r * length + cuts[i]!) * 300;
          expect(got).toEqual(whole!.data.slice(at, at + width * 300));
        }
      }
    }
  });

  test('left padding that is masked changes nothing for what follows', async () => {
    const row = columns(ids, 4, 10);
    const [plain] = await logitsOf(refBackend, [tensor([1, 6], row.data.slice(0, 6), 'i32')]);
    const padded = tensor([1, 9], [259, 259, 259, ...row.data.slice(0, 6)], 'i32');
    const mask = tensor([1, 9], [0, 0, 0, 1, 1, 1, 1, 1, 1], 'u32');
    const [masked] = await logitsOf(refBackend, [padded], { mask });
    expect(masked!.data.slice(3 * 300)).toEqual(plain!.data);
    const [unmasked] = await logitsOf(refBackend, [padded]);
    expect(
      distance(tensor([1800], unmasked!.data.slice(3 * 300)), tensor([1800], plain!.data)),
    ).toBeGreaterThan(1e-3);
  });

  test('a packed document starts afresh', async () => {
    const a = ids.data.slice(0, 5);
    const b = ids.data.slice(5, 10);
    const [alone] = await logitsOf(refBackend, [tensor([1, 5], b, 'i32')]);
    const reset = tensor([1, 10], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 'u32');
    const [packed] = await logitsOf(refBackend, [tensor([1, 10], [...a, ...b], 'i32')], { reset });
    expect(packed!.data.slice(5 * 300)).toEqual(alone!.data);
  });

  test('a state is a snapshot: going back gives the same again', async () => {
    using model = new SamOut(refBackend, config, parameters);
    using before = model.advance(columns(ids, 0, 6));
    const next = (): Tensor => model.forward(columns(ids, 6, 8), before).logits;
    expect(next().data).toEqual(next().data);
  });

  test('the number of heads changes no bit', async () => {
    const { heads: _, ...rest } = config;
    const of = async (heads: number): Promise<Tensor> => {
      using model = new SamOut(refBackend, samOutConfig({ ...rest, heads }), parameters);
      return model.forward(ids).logits;
    };
    expect((await of(1)).data).toEqual((await of(16)).data);
  });

  test.each<[string, Partial<SamOutConfig>]>([
    ['as the seed has it', {}],
    ['tied', { tied: true }],
    ['with a cap', { cap: 0.4 }],
    ['with mixed heads', { mixHeads: true }],
    ['with dropout', { dropout: 0.3 }],
    ['with all of these', { tied: true, cap: 0.4, mixHeads: true, dropout: 0.3 }],
  ])('%s: has the gradient that central differences give, for every parameter', (_, options) => {
    const tiny = samOutConfig({ vocabulary: 7, width: 4, heads: 2, layers: 2, paddingIndex: 6, ...options });
    let seed = 0;
    const shapes = mapParameters(parameterShapes(tiny), (shape) =>
      tensor(
        shape,
        noiseArray(
          shape.reduce((a, b) => a * b, 1),
          ++seed,
        ),
      ),
    );
    // The padding row has no gradient by definition as an embedding, but has one as a head: no padding where they are tied.
    const padding = tiny.tied ? 0 : 6;
    const input = tensor([2, 3], [0, 1, 5, 2, padding, 4], 'i32');
    const targets = tensor([2, 3], [1, 5, 3, 2, 4, 0], 'i32');
    const list = listParameters(shapes);
    const build = <T>(values: readonly T[]) => {
      let i = 0;
      return mapParameters(shapes, () => values[i++]!);
    };
    const loss = { ignoreIndex: 2, dropoutKey: key(5) };
    // Else the embedding is left out of the directions by being data here.
    const data = tiny.tied ? [] : [f64(list[0]!)];
    expectGradient(
      list.slice(data.length),
      (values) => [samOutLoss(refBackend.ops, tiny, build([...data, ...values]), input, targets, loss).loss],
      (values, [dy]) => {
        using tape = new Tape(refBackend);
        const vars = [...data.map((t) => tape.constant(t)), ...values.map((t) => tape.parameter(t))];
        const made = samOutLoss(
          tape.ops,
          tiny,
          build(vars),
          tape.constant(input),
          tape.constant(targets),
          loss,
        );
        return tape.pullback(made.loss, vars.slice(data.length), dy!);
      },
      { tolerance: 1e-5 },
    );
  });

  test('options that are off change no bit, those that are on do', async () => {
    const [plain] = await logitsOf(refBackend, [ids]);
    const of = async (options: Partial<SamOutConfig>, p = parameters): Promise<Tensor> => {
      using model = new SamOut(refBackend, samOutConfig({ ...config, ...options }), p);
      return model.forward(ids).logits;
    };
    const withMix = (scale: number) =>
      mapParameters(
        {
          ...parameters,
          layers: parameters.layers.map((layer) => ({
            ...layer,
            mix: tensor(
              [4, 4],
              Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : scale)),
            ),
          })),
        },
        (t) => t,
      );
    // Inference drops nothing; a cap above every maximum and the identity among the heads change nothing.
    for (const off of [
      await of({ dropout: 0.5 }),
      await of({ cap: 1e6 }),
      await of({ mixHeads: true }, withMix(0)),
    ])
      expect(off.data).toEqual(plain!.data);
    for (const on of [await of({ cap: 0.1 }), await of({ mixHeads: true }, withMix(0.2))])
      expect(distance(on, plain!)).toBeGreaterThan(1e-3);
  });

  test('dropout follows from the key and the step, and needs a key', async () => {
    const batch = tensor([2, 6], [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], 'i32');
    const losses = async (seed: number, from = 0): Promise<number[]> => {
      using model = new SamOut(refBackend, samOutConfig({ ...config, dropout: 0.5 }), parameters);
      using trainer = new SamOutTrainer(model, { lr: 0, key: key(seed) });
      trainer.step = from;
      return [(await trainer.train(batch)).loss, (await trainer.train(batch)).loss];
    };
    const [first, second] = await losses(1);
    expect(first).not.toBe(second);
    expect(await losses(1)).toEqual([first, second]);
    expect((await losses(1, 1))[0]).toBe(second);
    expect((await losses(2))[0]).not.toBe(first);
    using model = new SamOut(refBackend, samOutConfig({ ...config, dropout: 0.5 }), parameters);
    expect(() => new SamOutTrainer(model)).toThrow('the model has dropout 0.5, which needs a key');
  });

  test('mixed heads go out and in by name, and start as the identity', async () => {
    const mixed = samOutConfig({
      vocabulary: 9,
      width: 6,
      heads: 3,
      layers: 2,
      paddingIndex: 0,
      mixHeads: true,
    });
    const made = await initialParameters(refBackend, mixed, key(1));
    const plain = await initialParameters(refBackend, samOutConfig({ ...mixed, mixHeads: false }), key(1));
    expect([...made.layers[1]!.mix!.data]).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1]);
    expect(made.head!.data).toEqual(plain.head!.data);
    const names = toStateDict(made);
    expect(names['decoder_layers.1.head_mixing.weight']!.shape).toEqual([3, 3]);
    expect(configOf(names)).toMatchObject({ mixHeads: true, heads: 3 });
    expect(listParameters(fromStateDict(mixed, names)).length).toBe(listParameters(made).length);
  });

  test('bad ids are named before any work', () => {
    using model = new SamOut(refBackend, config, parameters);
    expect(() => model.forward(tensor([1, 2], [5, 300], 'i32'))).toThrow(
      'id 300 at element 1 is outside the vocabulary of 300',
    );
    expect(() => model.forward(tensor([2], [5, 6], 'i32'))).toThrow('ids have shape [2]');
  });

  test('a batch too short to train on is refused', async () => {
    using model = new SamOut(refBackend, config, parameters);
    using trainer = new SamOutTrainer(model);
    await expect(trainer.train(tensor([2, 1], [1, 2], 'i32'))).rejects.toThrow('tokens have shape [2, 1]');
  });

  test('a loss that is not finite changes nothing', async () => {
    const huge = mapParameters(parameters, (t, path) =>
      path === 'head'
        ? tensor(
            t.shape,
            t.data.map(() => Number.NaN),
          )
        : t,
    );
    using model = new SamOut(refBackend, config, huge);
    using trainer = new SamOutTrainer(model, { ignoreIndex });
    await expect(trainer.train(tensor([1, 4], [5, 6, 7, 8], 'i32'))).rejects.toThrow(DivergedError);
    expect(trainer.step).toBe(0);
    expect(model.parameters.embedding.data).toEqual(parameters.embedding.data);
  });

  test('generation repeats for a key, and greedy does not need one', async () => {
    using model = new SamOut(refBackend, config, parameters);
    const run = async (seed: number, temperature: number): Promise<number[]> =>
      Array.fromAsync(generate(model, Int32Array.of(1, 2), 8, key(seed), { temperature, topK: 20 }));
    expect(await run(1, 1)).toEqual(await run(1, 1));
    expect(await run(1, 1)).not.toEqual(await run(2, 1));
    expect(await run(1, 0)).toEqual(await run(2, 0));
  });

  test('the nats of a sequence do not depend on the chunks it is fed in', async () => {
    using model = new SamOut(refBackend, config, parameters);
    const sequence = Int32Array.from(ids.data.slice(0, 30));
    const whole = await sequenceNats(model, sequence);
    expect(await sequenceNats(model, sequence, { chunk: 7 })).toBeCloseTo(whole, 3);
  });
});

function f64(t: Tensor): Tensor {
  return tensor(t.shape, Float64Array.from(t.data));
}

describeDevice('the model on the GPU', (gpu) => {
  test('gives the logits, losses and parameters of PyTorch', async () => {
    const [got] = await logitsOf(gpu(), [ids]);
    expect(distance(got!, oracle.get('logits')!)).toBeLessThan(1e-5);
    using model = new SamOut(gpu(), config, parameters);
    await expectTraining(model);
  });

  test('token by token gives the logits of the whole', async () => {
    const [whole] = await logitsOf(gpu(), [ids]);
    const length = ids.shape[1]!;
    const parts = await logitsOf(
      gpu(),
      Array.from({ length }, (_, t) => columns(ids, t, t + 1)),
    );
    for (const [t, part] of parts.entries()) {
      const want = whole!.data.slice(t * 300, (t + 1) * 300);
      expect(distance(tensor([300], part.data.slice(0, 300)), tensor([300], want))).toBeLessThan(1e-5);
    }
  });

  test('every option gives the losses of the reference', async () => {
    const options = { tied: true, cap: 0.5, mixHeads: true, dropout: 0.2 };
    const all = samOutConfig({ vocabulary: 50, width: 16, heads: 4, layers: 2, paddingIndex: 0, ...options });
    const start = await initialParameters(refBackend, all, key(3));
    const batch = columns(
      tensor(
        [2, 40],
        Int32Array.from({ length: 80 }, (_, i) => 1 + ((i * i) % 49)),
      ),
      0,
      40,
    );
    const losses = async <T extends AnyTensor>(backend: Backend<T>): Promise<number[]> => {
      using model = new SamOut(backend, all, start);
      using trainer = new SamOutTrainer(model, { key: key(4), lr: 0.01 });
      const out: number[] = [];
      for (let i = 0; i < 4; i++) out.push((await trainer.train(batch)).loss);
      return out;
    };
    const want = await losses(refBackend);
    expect(want[3]).toBeLessThan(want[0]!);
    for (const [i, loss] of (await losses(gpu())).entries())
      expect(Math.abs(loss - want[i]!)).toBeLessThan(1e-4);
  });

  test('a training step in steady state creates no buffer and leaves none', async () => {
    using model = new SamOut(gpu(), config, parameters);
    using trainer = new SamOutTrainer(model, { ignoreIndex, maxNorm: 1 });
    const batch = tensor([3, 14], (oracle.get('tokens')!.data as Int32Array).slice(0, 42), 'i32');
    for (let i = 0; i < 3; i++) await trainer.train(batch);
    const { created } = gpu().pool;
    const live = gpu().liveTensors;
    for (let i = 0; i < 5; i++) await trainer.train(batch);
    expect([gpu().pool.created, gpu().liveTensors]).toEqual([created, live]);
  });
});
