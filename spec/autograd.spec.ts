import { describe, expect, test } from 'vitest';
import { Tape } from '../src/core/autograd.ts';
import type { Ops } from '../src/core/ops/index.ts';
import { type AnyTensor, type Tensor, tensor } from '../src/core/tensor.ts';
import { refBackend } from '../src/ref/backend.ts';
import { noiseArray } from '../src/verify/case.ts';
import { describeDevice } from './support/device.ts';
import { expectGradient } from './support/gradcheck.ts';

// Plan: the tape's gradients equal finite differences through chains, shared inputs and unused parameters; both twins give
// the same; data get no gradient; a training step in steady state creates no buffer and leaves none alive.

/** A small chain in which x is used three times and one parameter feeds two operators. */
function chain<T extends AnyTensor>(ops: Ops<T>, x: T, y: T, w: T): T {
  using m = ops.cummax(x, { axis: 1 });
  using s = ops.add(m.values, x);
  using l = ops.lerp(s, y, w);
  return ops.lerp(l, x, w);
}

const x = tensor([2, 5], noiseArray(10, 1));
const y = tensor([2, 5], noiseArray(10, 2));
const w = tensor([1], [0.3]);

describe('the tape', () => {
  test('agrees with central differences through a chain with shared inputs', () => {
    expectGradient(
      [x, y, w],
      ([x, y, w]) => [chain(refBackend.ops, x!, y!, w!)],
      (inputs, [dy]) => {
        using tape = new Tape(refBackend);
        const parameters = inputs.map((t) => tape.parameter(t));
        const out = chain(tape.ops, parameters[0]!, parameters[1]!, parameters[2]!);
        return tape.pullback(out, parameters, dy!);
      },
    );
  });

  test('goes through a relaxed top-k, whose backward has another name', () => {
    const noise = tensor([2, 5], Float64Array.from(noiseArray(10, 7)));
    expectGradient(
      [x],
      ([x]) => [refBackend.ops.gumbelTopKRelaxed(x!, 2, { noise, relaxation: 'exactK', temperature: 0.7 })],
      ([given], [dy]) => {
        using tape = new Tape(refBackend);
        const logits = tape.parameter(given!);
        const options = { noise: tape.constant(noise), relaxation: 'exactK', temperature: 0.7 } as const;
        const out = tape.ops.gumbelTopKRelaxed(logits, 2, options);
        return tape.pullback(out, [logits], dy!);
      },
    );
  });

  test('gives zeros for a parameter that is not used, and refuses a loss that is no scalar', () => {
    using tape = new Tape(refBackend);
    const a = tape.parameter(x);
    const unused = tape.parameter(y);
    const out = tape.ops.add(a, a);
    const [da, du] = tape.pullback(out, [a, unused], y) as [Tensor, Tensor];
    expect([...da.data]).toEqual([...y.data].map((v) => 2 * v));
    expect([...du.data]).toEqual(new Array(10).fill(0));
    expect(() => tape.backward(out, [a])).toThrow('backward: the loss has 10 elements; it must have one');
  });

  test('does no work for data', () => {
    using tape = new Tape(refBackend);
    const out = tape.ops.add(tape.constant(x), tape.constant(y));
    expect(out.differentiable).toBe(false);
    expect(() => tape.ops.add(out, y as never)).toThrow('add: b is not on the tape');
  });
});

describeDevice('the tape', (gpu) => {
  test('gives the gradients of the reference, and steady state creates nothing', async () => {
    const want = (() => {
      using tape = new Tape(refBackend);
      const p = [x, y, w].map((t) => tape.parameter(t));
      return tape.pullback(chain(tape.ops, p[0]!, p[1]!, p[2]!), p, y);
    })();
    const inputs = [x, y, w].map((t) => gpu().upload(t));
    using dy = gpu().upload(y);
    let created = 0;
    for (let i = 0; i < 5; i++) {
      using tape = new Tape(gpu());
      const p = inputs.map((t) => tape.parameter(t));
      const got = tape.pullback(chain(tape.ops, p[0]!, p[1]!, p[2]!), p, dy);
      for (const [j, g] of got.entries()) {
        const t = await g.read();
        for (const [k, v] of t.data.entries()) expect(v).toBeCloseTo(want[j]!.data[k]!, 5);
        g[Symbol.dispose]();
      }
      if (i === 1) created = gpu().pool.created;
    }
    expect(gpu().pool.created).toBe(created);
    for (const t of inputs) t[Symbol.dispose]();
  });
});
