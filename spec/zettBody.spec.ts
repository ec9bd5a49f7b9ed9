import { describe, expect, test } from 'vitest';
import { key } from '../src/core/key.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { samOutConfig } from '../src/models/samOut/config.ts';
import { sequenceNats } from '../src/models/samOut/evaluate.ts';
import { SamOut } from '../src/models/samOut/model.ts';
import { initialParameters } from '../src/models/samOut/parameters.ts';
import { type Body, bodyLoss, bodyNats, samOutBody, tablesOf } from '../src/models/zett/body.ts';
import { hypernetConfig } from '../src/models/zett/config.ts';
import { freeze, predictRows } from '../src/models/zett/model.ts';
import { initialHypernet, listHypernet } from '../src/models/zett/parameters.ts';
import { ZettTrainer, zettSchedule } from '../src/models/zett/trainer.ts';
import { refBackend } from '../src/ref/backend.ts';
import { noiseArray } from '../src/verify/case.ts';

// Plan: a SamOut that is called gives the same loss, the same trained parameters and the same nats as one on the tape, tied or not; a
// foreign body, written here in plain loops, is trained through and measured; its gradient is that of differences; what it
// gives in a wrong shape, and a body without gradient, are refused.

const width = 8;
const hyper = { width, hidden: 8, inner: 16, heads: 2, layers: 1, length: 3 };
const schedule = { ...zettSchedule, identitySteps: 0, steps: 60, lr: 0.01, maxNorm: 1 };
// Source ids 1 and 2 are special; the new vocabulary has ten words, and both.
const forms = tensor(
  [10, 3],
  [4, -1, -1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 4, 5, -1, 6, 7, -1, 4, 5, 6, 8, -1, -1, 9, -1, -1, 8, 9, -1],
  'i32',
);
const rows = tensor([12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, -1], 'i32');
const copies = tensor([12], [...new Array<number>(10).fill(-1), 2, 1], 'i32');
const task = (tokens: readonly (readonly number[])[]) => ({
  forms,
  rows,
  copies,
  tokens: tensor([tokens.length, tokens[0]!.length], tokens.flat(), 'i32'),
  paddingIndex: 11,
});
const some = task([
  [10, 0, 1, 4, 5, 11],
  [10, 6, 7, 8, 9, 3],
]);

/** A foreign model: the logits of a position are output . tanh(W input). It sees one token back, so it is a bigram model. */
class Bigram implements Body {
  readonly tables: { in: Tensor; out: Tensor };
  readonly #w = noiseArray(width * width, 3).map((v) => v / 2);
  calls = 0;

  constructor(vocabulary: number) {
    this.tables = {
      in: tensor([vocabulary, width], noiseArray(vocabulary * width, 1)),
      out: tensor([vocabulary, width], noiseArray(vocabulary * width, 2)),
    };
  }

  #hidden(inputs: Tensor): Float64Array {
    const h = new Float64Array(inputs.size);
    for (let i = 0; i < h.length; i++) {
      const at = i - (i % width);
      for (let d = 0; d < width; d++) h[i]! += this.#w[(i % width) * width + d]! * inputs.data[at + d]!;
    }
    return h.map(Math.tanh);
  }

  logits(inputs: Tensor, output: Tensor): Tensor {
    this.calls++;
    const h = this.#hidden(inputs);
    const [B = 0, S = 0] = inputs.shape;
    const V = output.shape[0]!;
    const out = new Float32Array(B * S * V);
    for (let i = 0; i < out.length; i++) {
      for (let d = 0; d < width; d++)
        out[i]! += h[Math.floor(i / V) * width + d]! * output.data[(i % V) * width + d]!;
    }
    return tensor([B, S, V], out);
  }

  backward(inputs: Tensor, output: Tensor, dLogits: Tensor) {
    const h = this.#hidden(inputs);
    const V = output.shape[0]!;
    const dOutput = new Float32Array(output.size);
    const dHidden = new Float64Array(h.length);
    for (let i = 0; i < dLogits.size; i++) {
      for (let d = 0; d < width; d++) {
        dOutput[(i % V) * width + d]! += dLogits.data[i]! * h[Math.floor(i / V) * width + d]!;
        dHidden[Math.floor(i / V) * width + d]! += dLogits.data[i]! * output.data[(i % V) * width + d]!;
      }
    }
    const dInputs = new Float32Array(inputs.size);
    for (let i = 0; i < h.length; i++) {
      const slope = dHidden[i]! * (1 - h[i]! ** 2);
      for (let d = 0; d < width; d++)
        dInputs[i - (i % width) + d]! += slope * this.#w[(i % width) * width + d]!;
    }
    return { inputs: tensor(inputs.shape, dInputs), output: tensor(output.shape, dOutput) };
  }
}

describe('a body that is called', () => {
  test.each([false, true])(
    'SamOut trains and measures the same, called and on the tape (tied: %s)',
    async (tied) => {
      const config = samOutConfig({ vocabulary: 12, width, heads: 1, layers: 2, paddingIndex: 1, tied });
      const stored = { config, parameters: await initialParameters(refBackend, config, key(1)) };
      using called = samOutBody(refBackend, stored);
      const c = hypernetConfig({ ...hyper, tied });
      const start = await initialHypernet(refBackend, c, key(2));
      const frozen = freeze(tablesOf(stored));
      const trained: Tensor[][] = [];
      const losses: number[][] = [];
      for (const body of [stored, called]) {
        using trainer = new ZettTrainer(refBackend, c, schedule, body, start, frozen);
        const made: number[] = [];
        for (let i = 0; i < 3; i++) {
          const { loss, crossEntropy } = await trainer.language(some);
          made.push(loss, crossEntropy!);
        }
        losses.push(made);
        trained.push(listHypernet((await trainer.state()).parameters));
      }
      for (const [i, want] of losses[0]!.entries()) expect(losses[1]![i]).toBeCloseTo(want, 5);
      expect(losses[0]![0]).toBeGreaterThan(losses[0]![1]!);
      for (const [i, want] of trained[0]!.entries()) {
        for (let j = 0; j < want.size; j++) expect(trained[1]![i]!.data[j]).toBeCloseTo(want.data[j]!, 3);
      }
      const ids = Int32Array.from({ length: 40 }, (_, i) => 2 + ((i * i) % 10));
      using model = new SamOut(refBackend, config, stored.parameters);
      const nats = await sequenceNats(model, ids);
      expect(await bodyNats(called, called.tables, ids)).toBeCloseTo(nats, 3);
      // A body remembers nothing: with too little context it is another number.
      expect(await bodyNats(called, called.tables, ids, { chunk: 8, context: 40 })).toBeCloseTo(nats, 3);
      expect(
        Math.abs((await bodyNats(called, called.tables, ids, { chunk: 8, context: 0 })) - nats),
      ).toBeGreaterThan(0.01);
    },
  );

  test('a foreign model is trained through, and measured', async () => {
    const body = new Bigram(12);
    const c = hypernetConfig({ ...hyper, tied: false });
    const start = await initialHypernet(refBackend, c, key(2));
    const frozen = freeze(body.tables);
    const warm = { identitySteps: 40, identityLr: 0.01, steps: 100, lr: 0.02, driftWeight: 0 };
    using trainer = new ZettTrainer(refBackend, c, { ...schedule, ...warm }, body, start, frozen);
    const ids = Int32Array.from({ length: 61 }, (_, i) => (i * 3) % 10);
    const cycle = task([[...ids.subarray(0, 21)], [...ids.subarray(11, 32)]]);
    const natsNow = async (): Promise<number> => {
      const made = await predictRows(refBackend, c, trainer.parameters, trainer.frozen, forms);
      const whole = (t: Tensor, from: Tensor): Tensor =>
        tensor(
          [12, width],
          [...t.data, ...[2, 1].flatMap((id) => [...from.data.slice(id * width, (id + 1) * width)])],
        );
      const tables = { in: whole(made.in, body.tables.in), out: whole(made.out!, body.tables.out) };
      return (await bodyNats(body, tables, ids)) / 60;
    };
    while (trainer.warmingUp) await trainer.identity(Int32Array.of(4, 5, 6, 7, 8, 9));
    const before = await natsNow();
    for (let i = 0; i < 60; i++) await trainer.language(cycle);
    const after = await natsNow();
    // Each word is followed by one other, so a bigram model can know it.
    expect(before).toBeGreaterThan(2);
    expect(after).toBeLessThan(before / 2);
    expect(body.calls).toBe(62);
  });

  test('gradients of both tables are those of differences', async () => {
    const body = new Bigram(6);
    const inputs = tensor([2, 3], [0, 1, 2, 3, 1, 5], 'i32');
    const targets = tensor([2, 3], [1, 2, 5, 1, 4, 0], 'i32');
    for (const tied of [false, true]) {
      const tables = { in: body.tables.in, ...(tied ? {} : { out: body.tables.out }) };
      const { gradients } = await bodyLoss(body, tables, inputs, targets, 5);
      for (const name of ['in', 'out'] as const) {
        const table = tables[name];
        if (table === undefined) continue;
        for (const at of [0, 9, 14, 17, 33, 47]) {
          const lossAt = async (step: number): Promise<number> => {
            const data = Float32Array.from(table.data);
            data[at]! += step;
            return (
              await bodyLoss(body, { ...tables, [name]: tensor(table.shape, data) }, inputs, targets, 5)
            ).loss;
          };
          const slope = ((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02;
          expect(gradients[name]!.data[at], `${name} ${at}`).toBeCloseTo(slope, 3);
        }
      }
    }
  });

  test('what it gives in a wrong shape is refused, and training without a gradient', async () => {
    const body = new Bigram(12);
    const ids = Int32Array.of(1, 2, 3);
    const wrong: Body = { tables: body.tables, logits: () => tensor([1, 2, 11], new Float32Array(22)) };
    await expect(bodyNats(wrong, body.tables, ids)).rejects.toThrow(
      "the body's logits have shape [1, 2, 11] and dtype f32; they must be f32 [1, 2, 12]",
    );
    const inputs = tensor([1, 2], [1, 2], 'i32');
    await expect(bodyLoss(wrong, body.tables, inputs, inputs, -1)).rejects.toThrow('has no backward');
    const askew: Body = {
      tables: body.tables,
      logits: (x, o) => body.logits(x, o),
      backward: (x) => ({ inputs: x, output: x }),
    };
    await expect(bodyLoss(askew, body.tables, inputs, inputs, -1)).rejects.toThrow(
      "the body's gradients of the output table have shape [1, 2, 8]",
    );
    const nothing: Body = {
      tables: body.tables,
      logits: () => tensor([1, 2, 12], new Float32Array(24).fill(Number.NaN)),
    };
    expect(await bodyNats(nothing, body.tables, ids)).toBeNaN();
  });
});
