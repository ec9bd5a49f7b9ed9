import { describe, expect, test } from 'vitest';
import { Tape } from '../src/core/autograd.ts';
import type { Backend } from '../src/core/backend.ts';
import { foldIn, key } from '../src/core/key.ts';
import { type AnyTensor, type Tensor, tensor } from '../src/core/tensor.ts';
import { headOf, samOutFeatures } from '../src/models/samOut/model.ts';
import { subVocabConfig } from '../src/models/subVocab/config.ts';
import { Curriculum } from '../src/models/subVocab/curriculum.ts';
import { withFrequencies } from '../src/models/subVocab/frequencies.ts';
import { initialSubVocab, listSubVocab, mapSubVocab, SubVocab } from '../src/models/subVocab/model.ts';
import {
  logProbability,
  logProbabilityGradient,
  reinforce,
  unorderedSet,
  withoutReplacement,
} from '../src/models/subVocab/plackettLuce.ts';
import { ignored, segmentsOf } from '../src/models/subVocab/segments.ts';
import { SubVocabTrainer, type SubVocabTrainerOptions } from '../src/models/subVocab/trainer.ts';
import { refBackend } from '../src/ref/backend.ts';
import { gumbelNoise } from '../src/ref/gumbelNoise.ts';
import { gumbelTopK, gumbelTopKBackward } from '../src/ref/gumbelTopK.ts';
import { describeDevice } from './support/device.ts';

// Plan: which tokens belong to which [SUBVOCAB]; the law of Plackett and Luce (golden value, differences, chi-square of the
// sampler, unbiased estimators); with all words the loss and its gradients are those of the full softmax; local tables never show
// another word; training with each estimator learns what it should; a stale index is measured; the twins agree on a step.

const words = 24;
const config = subVocabConfig({
  samOut: { vocabulary: words + 2, width: 8, heads: 2, layers: 1 },
  k: 6,
  candidates: words,
});

async function modelOn<T extends AnyTensor>(
  backend: Backend<T>,
  seed = 1,
  given = config,
): Promise<SubVocab<T>> {
  return new SubVocab(backend, given, await initialSubVocab(refBackend, given, key(seed)));
}

/** Rows in which the word after [SUBVOCAB] w is w + 1, w + 2, ...: what a sub-vocabulary should hold can be learned. */
function rows(batch: number, seed: number): Tensor {
  const data: number[] = [];
  for (let r = 0; r < batch; r++) {
    const w = (seed * 7 + r * 5) % words;
    data.push(2 + w, 1, ...[1, 2, 3].map((i) => 2 + ((w + i) % words)));
  }
  return tensor([batch, 5], Int32Array.from(data));
}

describe('which tokens belong to which [SUBVOCAB]', () => {
  test('positions, governed places and their targets', () => {
    const tokens = tensor([3, 6], [5, 1, 6, 7, 1, 8, 1, 9, 0, 0, 0, 0, 4, 5, 6, 7, 8, 9], 'i32');
    const s = segmentsOf(tokens, 1, [0]);
    expect([...s.positions]).toEqual([1, 4, 0, -1, -1, -1]);
    expect([...s.owners]).toEqual([0, 1, 2]);
    expect(s.longest).toBe(5);
    expect([...s.places]).toEqual([1, 2, 3, -1, -1, 4, -1, -1, -1, -1, 5, 6, 7, 8, 9]);
    const no = ignored;
    // The last word before a [SUBVOCAB] predicts it, which does not count.
    expect([...s.targets]).toEqual([6, 7, no, no, no, 8, no, no, no, no, 9, no, no, no, no]);
    expect([...s.freePlaces]).toEqual([10, 11, 12, 13, 14]);
    expect([...s.freeTargets]).toEqual([5, 6, 7, 8, 9]);
  });

  test('bad configurations and tokens are refused', () => {
    expect(() => subVocabConfig({ samOut: { vocabulary: 10 }, subVocabId: 2 })).toThrow('subVocabId is 2');
    expect(() => subVocabConfig({ samOut: { vocabulary: 10 }, subVocabId: 0 })).toThrow(
      'and so is paddingIndex',
    );
    expect(() => subVocabConfig({ samOut: { vocabulary: 10 }, k: 0 })).toThrow('k is 0');
    expect(() => subVocabConfig({ pooling: 'max' as 'own' })).toThrow('pooling is "max"');
    expect(() => segmentsOf(tensor([2], [1, 2], 'i32'), 1)).toThrow(
      'they must be i32 [batch >= 1, length >= 2]',
    );
  });
});

/** All orders of a set. */
function orders(set: readonly number[]): number[][] {
  if (set.length === 0) return [[]];
  return set.flatMap((first) => orders(set.filter((i) => i !== first)).map((rest) => [first, ...rest]));
}

describe('the law of Plackett and Luce', () => {
  const phi = [1, 0.2, -0.5, 0.7];

  test('a golden value, and the gradient by differences', () => {
    expect(logProbability(phi, [3, 0, 2])).toBeCloseTo(-2.7984668396, 9);
    const g = logProbabilityGradient(phi, [3, 0]);
    for (let i = 0; i < 4; i++) {
      const moved = (h: number): number =>
        logProbability(
          phi.map((v, j) => (i === j ? v + h : v)),
          [3, 0],
        );
      expect(g[i]).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 8);
    }
    expect(g.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 14);
  });

  test('the sampler of the model follows it: chi-square over all ordered pairs', async () => {
    using model = await modelOn(
      refBackend,
      3,
      subVocabConfig({ samOut: { vocabulary: 7, width: 4, heads: 1, layers: 1 }, k: 2 }),
    );
    using encoded = model.encode(tensor([1, 2], [3, 1], 'i32')).features;
    using query = model.query(encoded, 1);
    const candidates = await model.candidates(query);
    const plain = await model.select(query, candidates, 5);
    const scores = [...candidates.data].map((id) => plain.scores[plain.words.indexOf(id)]!);
    const counts = new Map<string, number>();
    const draws = 2000;
    for (let i = 0; i < draws; i++) {
      const { words } = await model.select(query, candidates, 2, foldIn(key(9), i));
      counts.set(words.join(), (counts.get(words.join()) ?? 0) + 1);
    }
    let chi = 0;
    for (let a = 0; a < 5; a++) {
      for (let b = 0; b < 5; b++) {
        if (a === b) continue;
        const wanted = draws * Math.exp(logProbability(scores, [a, b]));
        const got = counts.get([candidates.data[a], candidates.data[b]].join()) ?? 0;
        chi += (got - wanted) ** 2 / wanted;
      }
    }
    // 19 degrees of freedom: 1 in 10,000 keys is beyond 50.8; the key is fixed.
    expect(chi).toBeLessThan(50.8);
  });

  test('both score-function estimators are unbiased', () => {
    const [n, k, draws] = [4, 2, 3000];
    const f = [0.5, -1, 2, 0.3];
    const cost = (set: readonly number[]): number => set.reduce((sum, i) => sum + f[i]!, 0) ** 2;
    const exact = new Float64Array(n);
    for (let a = 0; a < n; a++) {
      for (let b = 0; b < n; b++) {
        if (a === b) continue;
        const g = logProbabilityGradient(phi, [a, b]);
        const p = Math.exp(logProbability(phi, [a, b]));
        for (let i = 0; i < n; i++) exact[i]! += p * cost([a, b]) * g[i]!;
      }
    }
    const z = phi.reduce((s, v) => s + Math.exp(v), 0);
    const p = phi.map((v) => Math.exp(v) / z);
    const mean = p.reduce((s, v, i) => s + v * f[i]!, 0);
    const single = p.map((v, i) => v * (f[i]! - mean));
    const logits = tensor([2, n], Float64Array.from([...phi, ...phi]));
    const sums = [0, 1].map(() => ({ sum: new Float64Array(n), squares: new Float64Array(n) }));
    for (let m = 0; m < draws; m++) {
      const { indices, logInclusion } = gumbelTopK(logits, k, { key: foldIn(key(4), m) });
      const samples = [0, 1].map((r) => [...indices.data.subarray(r * k, (r + 1) * k)]);
      const estimates = [
        reinforce(phi, samples, samples.map(cost)),
        withoutReplacement(
          phi,
          samples[0]!,
          logInclusion.data,
          samples[0]!.map((i) => f[i]!),
          false,
        ),
      ];
      estimates.forEach((g, e) => {
        for (let i = 0; i < n; i++) {
          sums[e]!.sum[i]! += g[i]!;
          sums[e]!.squares[i]! += g[i]! ** 2;
        }
      });
    }
    for (const [e, want] of [exact, single].entries()) {
      for (let i = 0; i < n; i++) {
        const got = sums[e]!.sum[i]! / draws;
        const deviation = Math.sqrt((sums[e]!.squares[i]! / draws - got ** 2) / draws);
        expect(Math.abs(got - want[i]!), `estimator ${e}, element ${i}`).toBeLessThan(4 * deviation);
      }
    }
  });

  test('the estimate from an unordered set is unbiased exactly, with and without its baseline', () => {
    const f = [0.5, -1, 2, 0.3, 0.9];
    for (const scores of [
      [1, 0.2, -0.5, 0.7, -3],
      [12, 0.2, -0.5, 0.7, 9],
    ]) {
      const z = scores.reduce((s, v) => s + Math.exp(v), 0);
      const p = scores.map((v) => Math.exp(v) / z);
      const mean = p.reduce((s, v, i) => s + v * f[i]!, 0);
      for (let k = 1; k <= 5; k++) {
        const sets = Array.from({ length: 32 }, (_, bits) =>
          [0, 1, 2, 3, 4].filter((i) => (bits >> i) & 1),
        ).filter((set) => set.length === k);
        for (const baseline of [true, false]) {
          const sum = new Float64Array(5);
          let all = 0;
          for (const set of sets) {
            const chance = orders(set).reduce((s, own) => s + Math.exp(logProbability(scores, own)), 0);
            all += chance;
            const g = unorderedSet(
              scores,
              set,
              set.map((i) => f[i]!),
              baseline,
            );
            for (let i = 0; i < 5; i++) sum[i]! += chance * g[i]!;
          }
          expect(all).toBeCloseTo(1, 12);
          for (let i = 0; i < 5; i++) expect(sum[i]).toBeCloseTo(p[i]! * (f[i]! - mean), 10);
        }
      }
    }
  });

  test('bias and variance of the estimators on a small exact case, as docs/subVocab.md tells them', () => {
    // E f over samples of 2 out of 5; f is the square of a sum, so its gradient by each gate is known.
    const [n, k, draws] = [5, 2, 3000];
    const logits = [1, 0.2, -0.5, 0.7, -1.2];
    const c = [1.2, -0.7, 0.4, 1, -1.5];
    const total = (set: readonly number[]): number => set.reduce((sum, i) => sum + c[i]!, 0);
    const exact = new Float64Array(n);
    for (let a = 0; a < n; a++) {
      for (let b = 0; b < n; b++) {
        if (a === b) continue;
        const p = Math.exp(logProbability(logits, [a, b]));
        const g = logProbabilityGradient(logits, [a, b]);
        for (let i = 0; i < n; i++) exact[i]! += p * total([a, b]) ** 2 * g[i]!;
      }
    }
    const rows = tensor(
      [draws, n],
      Float64Array.from({ length: draws * n }, (_, i) => logits[i % n]!),
    );
    const noise = gumbelNoise(key(21), [draws, n]);
    const wide = tensor([draws, n], Float64Array.from(noise.data));
    const { indices } = gumbelTopK(rows, k, { noise: wide });
    const sampleOf = (m: number): number[] => [...indices.data.subarray(m * k, (m + 1) * k)];
    // Of what was not drawn nothing is known: its gate has the gradient 0.
    const dGates = tensor(
      [draws, k],
      Float64Array.from(
        { length: draws * k },
        (_, i) => 2 * c[indices.data[i]!]! * total(sampleOf(Math.floor(i / k))),
      ),
    );
    const through = (relaxation: 'thresholdExp' | 'exactK'): ((m: number) => ArrayLike<number>) => {
      const g = gumbelTopKBackward(dGates, rows, k, { positions: indices, noise: wide, relaxation });
      return (m) => g.data.subarray(m * n, (m + 1) * n);
    };
    const scored = (samples: number) => (m: number) => {
      const sets = Array.from({ length: samples }, (_, i) => sampleOf((m + i * 700) % draws));
      return reinforce(
        logits,
        sets,
        sets.map((set) => total(set) ** 2),
      );
    };
    const measure = (estimate: (m: number) => ArrayLike<number>): { bias: number; variance: number } => {
      const sum = new Float64Array(n);
      const squares = new Float64Array(n);
      for (let m = 0; m < draws; m++) {
        const g = estimate(m);
        for (let i = 0; i < n; i++) {
          sum[i]! += g[i]! / draws;
          squares[i]! += g[i]! ** 2 / draws;
        }
      }
      const variance = squares.reduce((v, q, i) => v + q - sum[i]! ** 2, 0);
      return { bias: Math.hypot(...sum.map((v, i) => v - exact[i]!)), variance };
    };
    const found = {
      thresholdExp: measure(through('thresholdExp')),
      exactK: measure(through('exactK')),
      reinforce2: measure(scored(2)),
      reinforce4: measure(scored(4)),
    };
    const size = Math.hypot(...exact);
    console.log(`bias and variance, exact gradient of length ${size.toFixed(2)}:`, found);
    // The other question: the mean of a cost of single words under the softmax.
    const weight = logits.reduce((sum, v) => sum + Math.exp(v), 0);
    const p = logits.map((v) => Math.exp(v) / weight);
    const mean = p.reduce((sum, v, i) => sum + v * c[i]! ** 2, 0);
    p.forEach((v, i) => {
      exact[i] = v * (c[i]! ** 2 - mean);
    });
    const { logInclusion } = gumbelTopK(rows, k, { noise: wide });
    const cost = (m: number): number[] => sampleOf(m).map((i) => c[i]! ** 2);
    const byInclusion = (centred: boolean) => (m: number) =>
      withoutReplacement(
        logits,
        sampleOf(m),
        logInclusion.data.subarray(m * k, (m + 1) * k),
        cost(m),
        centred,
      );
    const single = {
      centred: measure(byInclusion(true)),
      notCentred: measure(byInclusion(false)),
      set: measure((m) => unorderedSet(logits, sampleOf(m), cost(m), false)),
      setWithBaseline: measure((m) => unorderedSet(logits, sampleOf(m), cost(m))),
    };
    console.log(`single words, exact gradient of length ${Math.hypot(...exact).toFixed(2)}:`, single);
    for (const name of ['notCentred', 'set', 'setWithBaseline'] as const)
      expect(single[name].bias).toBeLessThan(4 * Math.sqrt(single[name].variance / draws));
    expect(single.set.variance).toBeLessThan(single.notCentred.variance);
    for (const name of ['reinforce2', 'reinforce4'] as const)
      expect(found[name].bias).toBeLessThan(4 * Math.sqrt((4 * found[name].variance) / draws));
    for (const name of ['thresholdExp', 'exactK'] as const) {
      expect(found[name].bias).toBeGreaterThan(0.05 * size);
      expect(found[name].variance).toBeLessThan(found.reinforce4.variance);
    }
  });
});

describe('the model', () => {
  test('with all words, loss and gradients are those of the full softmax', async () => {
    using model = await modelOn(refBackend);
    const options: SubVocabTrainerOptions = {
      key: key(1),
      inclusionWeight: 0,
      estimator: 'none',
      curriculum: new Curriculum({ from: words, to: words, steps: 1 }),
    };
    using trainer = new SubVocabTrainer(model, options);
    const tokens = rows(3, 1);
    using tape = new Tape<Tensor>(refBackend);
    const taped = mapSubVocab(model.parameters, (t) => tape.parameter(t));
    const { total, drawn } = await trainer.lossOn(tape, taped, tokens);
    expect(drawn!.recall).toBe(1);
    const got = tape.backward(total, listSubVocab(taped));
    // The same by the operators of the full vocabulary: positions 1, 2, 3 predict words, never special ids.
    using full = new Tape<Tensor>(refBackend);
    const plain = mapSubVocab(model.parameters, (t) => full.parameter(t));
    const ids = tensor(
      [3, 4],
      Int32Array.from({ length: 12 }, (_, i) => tokens.data[Math.floor(i / 4) * 5 + (i % 4)]!),
    );
    const targets = Int32Array.from({ length: 12 }, (_, i) =>
      i % 4 === 0 ? -100 : tokens.data[Math.floor(i / 4) * 5 + (i % 4) + 1]!,
    );
    const { features } = samOutFeatures(full.ops, config.samOut, plain.samOut, full.constant(ids));
    const logits = full.ops.matmul(features, headOf(plain.samOut), { transposeB: true });
    const all = tensor(
      [3, words],
      Int32Array.from({ length: 3 * words }, (_, i) => 2 + (i % words)),
    );
    const masked = full.ops.maskBySubVocab(logits, full.constant(all));
    const { loss } = full.ops.crossEntropyLogits(masked, full.constant(tensor([3, 4], targets)));
    const want = full.backward(loss, listSubVocab(plain));
    expect(total.value.data[0]).toBeCloseTo(loss.value.data[0]!, 5);
    for (const [i, t] of want.entries()) {
      for (let j = 0; j < t.size; j++) expect(got[i]!.data[j]).toBeCloseTo(t.data[j]!, 5);
    }
  });

  test('a local table gives the features of the global one inside, and zeros, never another word, outside', async () => {
    using model = await modelOn(refBackend);
    using tables = model.gather(Int32Array.of(9, 4, 20));
    const inside = await model.encodeLocal(Int32Array.of(20, 9), tables);
    expect([...inside.local]).toEqual([2, 0]);
    const global = model.encode(tensor([1, 2], [20, 9], 'i32'));
    expect(inside.features.data).toEqual(global.features.data);
    const outside = await model.encodeLocal(Int32Array.of(5), tables);
    expect([...outside.local]).toEqual([-1]);
    const padding = model.encode(tensor([1, 1], [0], 'i32'));
    expect(outside.features.data).toEqual(padding.features.data);
    const logits = model.logits(global.features, tables);
    const whole = refBackend.ops.matmul(global.features, model.table, { transposeB: true });
    expect([...logits.data.slice(0, 3)]).toEqual([9, 4, 20].map((w) => whole.data[w]));
  });

  test('rows with any number of [SUBVOCAB], none included, train together', async () => {
    using model = await modelOn(refBackend);
    using trainer = new SubVocabTrainer(model, { key: key(1) });
    const tokens = tensor([3, 6], [5, 1, 6, 7, 1, 8, 1, 9, 0, 0, 0, 0, 4, 5, 6, 7, 8, 9], 'i32');
    const report = await trainer.train(tokens);
    expect(report.count).toBe(9);
    expect(Number.isFinite(report.loss)).toBe(true);
    const none = await trainer.train(tensor([1, 3], [4, 5, 6], 'i32'));
    expect([none.count, none.recall]).toEqual([2, 1]);
  });

  test.each(['straightThrough', 'reinforce', 'withoutReplacement', 'unorderedSet', 'none'] as const)(
    '%s: the sampler learns',
    async (estimator) => {
      using model = await modelOn(refBackend, 2);
      const inclusionWeight = estimator === 'none' ? 0.5 : 0;
      using trainer = new SubVocabTrainer(model, {
        key: key(1),
        lr: 0.02,
        estimator,
        inclusionWeight,
        samplerWeight: 4,
      });
      const recalls: number[] = [];
      const losses: number[] = [];
      for (let i = 0; i < 60; i++) {
        const { recall, loss } = await trainer.train(rows(8, i));
        recalls.push(recall);
        losses.push(loss);
      }
      const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
      expect(mean(losses.slice(-8))).toBeLessThan(mean(losses.slice(0, 8)) - 0.3);
      expect(mean(recalls.slice(-10))).toBeGreaterThan(mean(recalls.slice(0, 10)) + 0.1);
    },
  );

  test.each(['nll', 'soft', 'hinge'] as const)('the inclusion loss %s is learned', async (inclusion) => {
    using model = await modelOn(refBackend, 2);
    using trainer = new SubVocabTrainer(model, {
      key: key(1),
      lr: 0.02,
      estimator: 'none',
      inclusion,
      inclusionWeight: 0.5,
    });
    const losses: number[] = [];
    for (let i = 0; i < 50; i++) losses.push((await trainer.train(rows(8, i))).inclusion);
    const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
    expect(mean(losses.slice(-10))).toBeLessThan(0.9 * mean(losses.slice(0, 10)));
  });

  test('bad settings of training are refused', async () => {
    using model = await modelOn(refBackend);
    const made =
      (more: object): (() => unknown) =>
      () =>
        new SubVocabTrainer(model, { key: key(1), ...more });
    expect(made({ estimator: 'reinforced' })).toThrow(
      'estimator is "reinforced"; it must be one of straightThrough',
    );
    expect(made({ inclusion: 'none' })).toThrow('inclusion is "none"; it must be one of nll');
    expect(made({ refreshEvery: 0 })).toThrow('refreshEvery is 0');
    expect(made({ samplerWeight: Number.NaN })).toThrow('samplerWeight is NaN');
    const curriculum = { from: 8, to: 4, steps: 2 };
    expect(() => new Curriculum({ ...curriculum, gamma: -1 })).toThrow('gamma is -1');
    expect(() => new Curriculum({ ...curriculum, gate: Number.NaN })).toThrow('gate is NaN');
  });

  test('a stale index is measured, and a fresh one finds what exact search finds', async () => {
    const narrow = subVocabConfig({ ...config, candidates: 8 });
    using model = await modelOn(refBackend, 1, narrow);
    await model.refreshIndex();
    using trainer = new SubVocabTrainer(model, { key: key(1), lr: 0.05, refreshEvery: 4 });
    const stale: number[] = [];
    for (let i = 0; i < 8; i++) {
      const { staleRecall, candidateRecall, recall } = await trainer.train(rows(6, i));
      if (staleRecall !== undefined) stale.push(staleRecall);
      expect(recall).toBeLessThanOrEqual(candidateRecall);
    }
    expect(stale.length).toBe(2);
    expect(Math.min(...stale)).toBeLessThan(1);
    using encoded = model.encode(tensor([1, 2], [3, 1], 'i32')).features;
    using query = model.query(encoded, 1);
    expect(await model.index.recall(model.table, query, 8)).toBe(1);
  });

  test('with the frequencies of words as start values, an untrained model draws the most frequent ones', async () => {
    const wide = subVocabConfig({ samOut: { vocabulary: words + 2, width: 64, heads: 1, layers: 2 }, k: 6 });
    const counts = Float64Array.from({ length: words + 2 }, (_, i) =>
      i < 2 ? 0 : Math.round(2000 / (((i * 7) % words) + 1) ** 2),
    );
    const start = withFrequencies(await initialSubVocab(refBackend, wide, key(1)), counts);
    using model = new SubVocab(refBackend, wide, start);
    using encoded = model.encode(tensor([1, 2], [9, 1], 'i32')).features;
    using query = model.query(encoded, 1);
    const { words: drawn } = await model.select(query, await model.candidates(query));
    const best = [...model.allWords()].sort((a, b) => counts[b]! - counts[a]!).slice(0, 3);
    for (const word of best) expect([...drawn]).toContain(word);
  });

  test('a curriculum shrinks, and waits while recall is low', () => {
    const free = new Curriculum({ from: 64, to: 4, steps: 4 });
    const sizes = Array.from({ length: 6 }, () => {
      const { k } = free;
      free.advance(1);
      return k;
    });
    expect(sizes).toEqual([64, 32, 16, 8, 4, 4]);
    const gated = new Curriculum({ from: 64, to: 4, steps: 4, gate: 0.5 });
    gated.advance(0.2);
    expect(gated.k).toBe(64);
    for (let i = 0; i < 60; i++) gated.advance(0.9);
    expect(gated.k).toBe(4);
  });
});

// One family is enough: the model is the same calls on both, and each operator's spec runs both. Compiling its many kernels for
// workgroup memory takes a software driver longer than all else here.
describeDevice(
  'on a device',
  (gpu) => {
    test('steps of training agree with those of the reference', async () => {
      const { lr, ...options } = { lr: 0.01, key: key(1) };
      using a = await modelOn(refBackend);
      using b = await modelOn(gpu());
      using ta = new SubVocabTrainer(a, { lr, ...options });
      using tb = new SubVocabTrainer(b, { lr, ...options });
      for (let i = 0; i < 2; i++) {
        const [want, got] = [await ta.train(rows(4, i)), await tb.train(rows(4, i))];
        expect(got.loss).toBeCloseTo(want.loss, 4);
        expect(got.inclusion).toBeCloseTo(want.inclusion, 4);
        expect([got.k, got.recall, got.count]).toEqual([want.k, want.recall, want.count]);
      }
    });

    test('with an index, and from text to words, nothing is left behind', async () => {
      const narrow = subVocabConfig({ ...config, candidates: 8 });
      using model = await modelOn(gpu(), 1, narrow);
      await model.refreshIndex();
      using trainer = new SubVocabTrainer(model, { key: key(1), refreshEvery: 1 });
      const report = await trainer.train(rows(2, 3));
      expect(report.staleRecall).toBeGreaterThan(0.5);
      const encoded = model.encode(tensor([1, 2], [3, 1], 'i32'));
      using features = encoded.features;
      encoded.state[Symbol.dispose]();
      using query = model.query(features, 1);
      const candidates = await model.candidates(query);
      const { words } = await model.select(query, candidates, 6, key(2));
      using tables = model.gather(words);
      const inside = await model.encodeLocal(Int32Array.of(words[2]!, 1), tables);
      expect([...inside.local]).toEqual([2, -1]);
      using logits = model.logits(inside.features, tables);
      expect(logits.shape).toEqual([1, 2, 6]);
      inside.features[Symbol.dispose]();
      inside.state[Symbol.dispose]();
    });
  },
  ['cpu-vulkan'],
);
