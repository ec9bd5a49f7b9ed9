import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Tape } from '../src/core/autograd.ts';
import type { Backend } from '../src/core/backend.ts';
import { readSafetensors } from '../src/core/formats/safetensors.ts';
import { key } from '../src/core/key.ts';
import { type AnyTensor, type Tensor, tensor } from '../src/core/tensor.ts';
import { samOutConfig } from '../src/models/samOut/config.ts';
import { sequenceNats } from '../src/models/samOut/evaluate.ts';
import { initialParameters } from '../src/models/samOut/parameters.ts';
import { baselineRows, contextVectors } from '../src/models/zett/baselines.ts';
import { tablesOf } from '../src/models/zett/body.ts';
import { hypernetConfig } from '../src/models/zett/config.ts';
import { continueTraining } from '../src/models/zett/continue.ts';
import {
  featureStatistics,
  freeze,
  hypernetBatch,
  hypernetRows,
  mapBatch,
  mapFrozen,
  predictRows,
} from '../src/models/zett/model.ts';
import { initialHypernet, listHypernet, mapHypernet, mapShapes } from '../src/models/zett/parameters.ts';
import { sampleKey, TokenizerSampler, UnigramEncoder } from '../src/models/zett/sampler.ts';
import { anchoredScaling, learningRate, ZettTrainer, zettSchedule } from '../src/models/zett/trainer.ts';
import { refBackend } from '../src/ref/backend.ts';
import { noiseArray } from '../src/verify/case.ts';
import { describeDevice } from './support/device.ts';

// Plan: predictions, loss and gradients of every parameter against PyTorch, on both twins; batches are independent; the anchored
// scaling moves predictions to the source's statistics; sampled vocabularies hold all bytes, follow their key and forget what left the
// window; segmentation is the best by brute force; the warm-up lowers its loss and resumes bit for bit; training after a transfer moves what it should; baselines copy, mix
// and fall back as they say.

const { tensors: oracle } = readSafetensors(
  new Uint8Array(readFileSync(new URL('./vectors/zett.safetensors', import.meta.url))),
);
const config = hypernetConfig({
  width: 6,
  tied: false,
  hidden: 8,
  inner: 12,
  heads: 2,
  layers: 2,
  length: 4,
  extra: 2,
  languages: 2,
});
const named = (prefix: string) => mapShapes(config, (_, path) => oracle.get(`${prefix}.${path}`)!);
const source = { in: oracle.get('source.in')!, out: oracle.get('source.out')! };
const forms = oracle.get('forms')!;

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

/** Predictions, loss and gradients on one backend. */
async function run<T extends AnyTensor>(backend: Backend<T>) {
  using tape = new Tape(backend);
  const up = <A extends Tensor>(t: A): T => backend.upload(t);
  const values = mapHypernet(named('model'), up);
  const frozen = mapFrozen(freeze(source), up);
  const batch = mapBatch(hypernetBatch(config, 11, forms, 1), up);
  const goals = [up(oracle.get('goal.in')!), up(oracle.get('goal.out')!)];
  const taped = mapHypernet(values, (t) => tape.parameter(t));
  const rows = hypernetRows(
    tape.ops,
    config,
    taped,
    mapFrozen(frozen, (t) => tape.constant(t)),
    mapBatch(batch, (t) => tape.constant(t)),
  );
  const { ops } = tape;
  const first = ops.identityLoss(rows.in, tape.constant(goals[0]!), { weight: 0.5 });
  const loss = ops.add(first, ops.identityLoss(rows.out!, tape.constant(goals[1]!), { weight: 0.5 }));
  const gradients = tape.backward(loss, listHypernet(taped));
  const read = {
    in: await backend.read(rows.in.value),
    out: await backend.read(rows.out!.value),
    loss: await backend.read(loss.value),
  };
  const slopes = await Promise.all(gradients.map((g) => backend.read(g)));
  for (const t of [
    ...listHypernet(values),
    ...Object.values(frozen),
    ...Object.values(batch),
    ...goals,
    ...gradients,
  ])
    t[Symbol.dispose]();
  return { ...read, slopes };
}

async function expectOracle<T extends AnyTensor>(backend: Backend<T>): Promise<void> {
  const got = await run(backend);
  for (const name of ['in', 'out', 'loss'] as const) {
    expect(distance(got[name], oracle.get(name)!), name).toBeLessThan(2e-5);
  }
  const paths: string[] = [];
  mapShapes(config, (_, path) => paths.push(path));
  for (const [i, path] of paths.entries()) {
    expect(distance(got.slopes[i]!, oracle.get(`grad.${path}`)!), path).toBeLessThan(2e-4);
  }
}

describe('the hypernetwork', () => {
  test('gives what PyTorch gives, with every gradient, on the reference', () => expectOracle(refBackend));

  test('predicts a token the same alone and among others', async () => {
    const frozen = freeze(source);
    const all = await predictRows(refBackend, config, named('model'), frozen, forms);
    const alone = await predictRows(
      refBackend,
      config,
      named('model'),
      frozen,
      tensor([1, 4], forms.data.slice(8, 12)),
    );
    expect([...alone.in.data]).toEqual([...all.in.data.slice(12, 18)]);
  });

  test('reads source rows with mean 0 and spread 0.02, and its scaling moves predictions to the source', async () => {
    const { mean, std } = featureStatistics(freeze(source).table);
    for (let d = 0; d < 12; d++) {
      expect(mean[d]).toBeCloseTo(0, 6);
      expect(std[d]).toBeCloseTo(0.02, 5);
    }
    const p = await initialHypernet(refBackend, config, key(3));
    const frozen = await anchoredScaling(refBackend, config, p, source, forms);
    const made = await predictRows(refBackend, config, p, frozen, forms);
    const got = featureStatistics(made.in);
    const want = featureStatistics(source.in);
    for (let d = 0; d < 6; d++) {
      expect(got.mean[d]).toBeCloseTo(want.mean[d]!, 3);
      expect(got.std[d]! / want.std[d]!).toBeCloseTo(1, 2);
    }
  });

  test('what cannot be is refused with the value', () => {
    expect(() => hypernetConfig({ width: 8, tied: true, heads: 3 })).toThrow(
      'heads is 3; it must divide hidden, which is 8',
    );
    expect(() => hypernetConfig({ width: 8, tied: true, depth: 2 } as never)).toThrow(
      'there is no field "depth"',
    );
    expect(() => hypernetBatch(config, 11, tensor([1, 4], [13, -1, -1, -1], 'i32'))).toThrow(
      'token 0 has the piece 13; there are 11 and 2 extra bytes',
    );
    expect(() => hypernetBatch(config, 11, tensor([1, 3], [1, 1, 1], 'i32'))).toThrow(
      'forms have 3 places; this hypernetwork reads 4',
    );
    expect(() => hypernetBatch(config, 11, forms, 2)).toThrow('language is 2; this hypernetwork has 2');
  });

  test("the learning rate rises, rises again and falls to a tenth, as the paper's does", () => {
    expect(learningRate(zettSchedule, 9_999)).toBeCloseTo(3e-4, 12);
    expect(learningRate(zettSchedule, 10_000)).toBeLessThan(1e-8);
    expect(learningRate(zettSchedule, 19_999)).toBeCloseTo(6e-5, 12);
    expect(learningRate(zettSchedule, 200_000)).toBeCloseTo(6e-6, 12);
  });
});

const prose = 'the cat sat on the mat; the dog saw the cat and the cat saw the dog. '.repeat(20);

describe('sampled tokenizers', () => {
  test('hold all bytes, follow their key, and forget what left the window', () => {
    const sampler = new TokenizerSampler({ window: 2 });
    for (let i = 0; i < 2; i++) sampler.push([prose]);
    const texts = ({ pieces }: { pieces: readonly Uint8Array[] }): string[] =>
      pieces.map((p) => new TextDecoder().decode(p));
    const one = sampler.sample(264, sampleKey(1, 0));
    expect(new Set(one.pieces.filter((p) => p.length === 1).map((p) => p[0])).size).toBe(256);
    expect(one.pieces).toHaveLength(264);
    expect(new Set(texts(one).slice(256)).size).toBe(8);
    expect(texts(sampler.sample(264, sampleKey(1, 0)))).toEqual(texts(one));
    const others = [1, 2, 3, 4, 5, 6].map((step) => texts(sampler.sample(264, sampleKey(1, step))).join());
    expect(new Set(others).size).toBeGreaterThan(1);
    for (let i = 0; i < 2; i++) sampler.push(['zzz yyy xxx']);
    expect(texts(sampler.sample(400, sampleKey(1, 0))).some((t) => t.includes('the'))).toBe(false);
  });

  test('with little noise the heaviest substrings are in', () => {
    const sampler = new TokenizerSampler({ noise: { mean: -60, sigma: 0 } });
    sampler.push([prose]);
    const pieces = sampler
      .sample(262, sampleKey(1, 0))
      .pieces.slice(256)
      .map((p) => new TextDecoder().decode(p));
    expect(pieces).toContain(' the');
  });

  test('cut text into the best pieces, as trying all shows', () => {
    const letters = Array.from({ length: 256 }, (_, b) => Uint8Array.of(b));
    const words = ['ab', 'abc', 'bc', 'ca', 'aab'].map((w) => new TextEncoder().encode(w));
    const call = fc.tuple(
      fc.array(fc.integer({ min: -4, max: -1 }), { minLength: 8, maxLength: 8 }),
      fc.stringMatching(/^[abc]{0,7}$/),
    );
    fc.assert(
      fc.property(call, ([drawn, text]) => {
        const scores = Float64Array.from([...new Array<number>(256).fill(-9), ...drawn.slice(0, 5)]);
        for (const [i, b] of [97, 98, 99].entries()) scores[b] = drawn[5 + i]!;
        const encoder = new UnigramEncoder({ pieces: [...letters, ...words], scores });
        const bytes = new TextEncoder().encode(text);
        const best = (at: number): number => {
          if (at === bytes.length) return 0;
          let top = -Infinity;
          for (const [i, piece] of [...letters, ...words].entries()) {
            if (piece.every((v, j) => bytes[at + j] === v))
              top = Math.max(top, scores[i]! + best(at + piece.length));
          }
          return top;
        };
        const cut = encoder.cut(bytes);
        expect(cut.reduce((s, p) => s + scores[p]!, 0)).toBeCloseTo(best(0), 9);
        const joined = cut.flatMap((p) => [...(p < 256 ? letters[p]! : words[p - 256]!)]);
        expect(joined).toEqual([...bytes]);
      }),
    );
    expect(() => new UnigramEncoder({ pieces: letters.slice(1), scores: new Float64Array(255) })).toThrow(
      'has 255 of the 256 single bytes',
    );
  });
});

describe('training', () => {
  const small = samOutConfig({ vocabulary: 20, width: 8, heads: 1, layers: 1, paddingIndex: 0 });
  const hyper = hypernetConfig({
    width: 8,
    tied: false,
    hidden: 8,
    inner: 16,
    heads: 2,
    layers: 1,
    length: 3,
  });
  const schedule = { ...zettSchedule, identitySteps: 6, steps: 8, identityLr: 0.01, lr: 0.003, maxNorm: 10 };
  const ids = Int32Array.from({ length: 16 }, (_, i) => i + 4);
  const task = {
    forms: tensor([4, 3], [1, -1, -1, 5, 6, -1, 7, 8, 9, 10, -1, -1], 'i32'),
    rows: tensor([6], [-1, 0, 1, 2, 3, -1], 'i32'),
    copies: tensor([6], [0, -1, -1, -1, -1, 3], 'i32'),
    tokens: tensor([2, 5], [5, 1, 2, 3, 4, 5, 4, 3, 2, 0], 'i32'),
    paddingIndex: 0,
  };

  test('warms up, trains through the frozen body, and resumes bit for bit', async () => {
    const body = { config: small, parameters: await initialParameters(refBackend, small, key(1)) };
    const start = await initialHypernet(refBackend, hyper, key(2));
    const frozen = freeze(tablesOf(body));
    const go = async (trainer: ZettTrainer<Tensor>, steps: number): Promise<number[]> => {
      const losses: number[] = [];
      for (let i = 0; i < steps; i++)
        losses.push((trainer.warmingUp ? await trainer.identity(ids) : await trainer.language(task)).loss);
      return losses;
    };
    using whole = new ZettTrainer(refBackend, hyper, schedule, body, start, frozen);
    const losses = await go(whole, 8);
    expect(losses[5]!).toBeLessThan(losses[0]!);
    using first = new ZettTrainer(refBackend, hyper, schedule, body, start, frozen);
    const before = await go(first, 5);
    const { parameters, state } = await first.state();
    using second = new ZettTrainer(refBackend, hyper, schedule, body, parameters, frozen, state);
    expect([...before, ...(await go(second, 3))]).toEqual(losses);
  });

  test('goes on after a transfer: the tables alone, or the layers too, from the same batches', async () => {
    const body = { config: small, parameters: await initialParameters(refBackend, small, key(1)) };
    const text = Int32Array.from({ length: 200 }, (_, i) => 4 + ((i * 3) % 16));
    const nats: number[] = [];
    const options = { shots: [0, 5, 20], lr: 0.02, batch: 4, length: 8, seed: 3 };
    const go = (more = {}, look = async () => {}) =>
      continueTraining(refBackend, body, text, { ...options, ...more }, look);
    const steps: number[] = [];
    const tables = await continueTraining(refBackend, body, text, options, async (model, n) => {
      steps.push(n);
      nats.push(await sequenceNats(model, text));
    });
    expect(steps).toEqual([0, 5, 20]);
    expect(nats[1]!).toBeLessThan(nats[0]!);
    expect(nats[2]!).toBeLessThan(0.9 * nats[1]!);
    const bits = (t: Tensor) => [...t.data];
    const { embedding, head, layers } = tables.parameters;
    for (const [name, t] of Object.entries(body.parameters.layers[0]!))
      expect(bits(layers[0]![name as 'w1']), name).toEqual(bits(t));
    expect(bits(embedding)).not.toEqual(bits(body.parameters.embedding));
    expect(bits(head!)).not.toEqual(bits(body.parameters.head!));
    expect(bits((await go()).parameters.embedding)).toEqual(bits(embedding));
    expect(bits((await go({ seed: 4 })).parameters.embedding)).not.toEqual(bits(embedding));
    const whole = await go({ layers: true });
    expect(bits(whole.parameters.layers[0]!.w1)).not.toEqual(bits(body.parameters.layers[0]!.w1));
    await expect(go({ shots: [3, 3] })).rejects.toThrow(
      'shots are 3, 3; they must be integers from 0 that ascend',
    );
    await expect(go({ length: 200 })).rejects.toThrow('has 200 tokens; a row takes 201');
  });

  test('baselines copy, mix, and fall back', async () => {
    const tables = { in: tensor([20, 8], noiseArray(160, 1)) };
    const tokens = {
      forms: tensor([3, 3], [4, -1, -1, 5, 6, -1, 30, -1, -1], 'i32'),
      same: tensor([3], [4, -1, -1], 'i32'),
    };
    const rows = async (kind: 'random' | 'lexical' | 'fvt' | 'focus', more = {}) =>
      (await baselineRows(refBackend, kind, tables, { ...tokens, ...more }, 1)).in.data;
    const row = (id: number) => [...tables.in.data.slice(8 * id, 8 * id + 8)];
    const [random, lexical, fvt] = [await rows('random'), await rows('lexical'), await rows('fvt')];
    expect([...lexical.slice(0, 8)]).toEqual(row(4));
    expect([...lexical.slice(8)]).toEqual([...random.slice(8)]);
    for (let d = 0; d < 8; d++) expect(fvt[8 + d]).toBeCloseTo((row(5)[d]! + row(6)[d]!) / 2, 6);
    expect([...fvt.slice(16)]).toEqual([...random.slice(16)]);
    const vectors = tensor([3, 2], [1, 1, 2, 2, 0, 0]);
    const focus = await rows('focus', { vectors });
    expect([...focus.slice(8, 16)]).toEqual(row(4));
    expect([...focus.slice(16)]).toEqual([...random.slice(16)]);
  });

  test('tokens in like surroundings have like vectors', () => {
    // 1 and 2 stand between 3 and 4, 5 and 6 between 7 and 8.
    const ids = Array.from({ length: 60 }, () => [3, 1, 4, 3, 2, 4, 7, 5, 8, 7, 6, 8]).flat();
    const v = contextVectors(ids, 10, 32, 1).data;
    const cosine = (a: number, b: number): number => {
      let [dot, x, y] = [0, 0, 0];
      for (let d = 0; d < 32; d++) {
        dot += v[a * 32 + d]! * v[b * 32 + d]!;
        x += v[a * 32 + d]! ** 2;
        y += v[b * 32 + d]! ** 2;
      }
      return dot / Math.sqrt(x * y);
    };
    expect(cosine(1, 2)).toBeGreaterThan(0.9);
    expect(cosine(1, 2)).toBeGreaterThan(cosine(1, 5) + 0.3);
    expect([...v.slice(9 * 32)].every((x) => x === 0)).toBe(true);
  });
});

describeDevice(
  'the kernels',
  (gpu) => {
    test('give what PyTorch gives, with every gradient', async () => {
      await expectOracle(gpu());
    });
  },
  ['cpu-vulkan'],
);
