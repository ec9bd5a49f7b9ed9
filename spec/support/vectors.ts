import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { judge } from '../../src/core/bounds/index.ts';
import { worstOf } from '../../src/core/bounds.ts';
import { type DType, type Shape, Tensor } from '../../src/core/tensor.ts';
import { runRef } from './twins.ts';

/** A tensor in a vector file: the bit pattern of each element in hexadecimal, so that NaN, -0 and subnormals survive. */
interface VectorTensor {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly bits: readonly string[];
}

export interface VectorCase {
  readonly name: string;
  readonly op: string;
  readonly flags: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, VectorTensor>>;
  /** Outputs that the oracle knows; others of the operator are not compared. */
  readonly outputs: Readonly<Record<string, VectorTensor>>;
  /** Why the oracle cannot be met within the operator's own bound, with the absolute tolerance that holds instead. */
  readonly tolerance?: { readonly absolute: number; readonly why: string };
}

export interface VectorFile {
  readonly op: string;
  readonly source: string;
  readonly notes: Readonly<Record<string, string>>;
  readonly cases: readonly VectorCase[];
}

/** Read `spec/vectors/<op>.json`. */
export function readVectors(op: string): VectorFile {
  return JSON.parse(readFileSync(new URL(`../vectors/${op}.json`, import.meta.url), 'utf8')) as VectorFile;
}

/** The tensor of a vector file. */
export function decode({ dtype, shape, bits }: VectorTensor): Tensor {
  if (dtype === 'f64') {
    const wide = BigUint64Array.from(bits, (b) => BigInt(`0x${b}`));
    return new Tensor(dtype, shape, new Float64Array(wide.buffer));
  }
  const words = Uint32Array.from(bits, (b) => Number.parseInt(b, 16));
  const Elements = { f32: Float32Array, i32: Int32Array, u32: Uint32Array }[dtype];
  return new Tensor(dtype, shape, new Elements(words.buffer));
}

/** One test per case of a vector file: the reference must give what the oracle gave, by the operator's own rule. */
export function describeVectors(op: string): void {
  const file = readVectors(op);
  describe(`vectors by ${file.source}`, () => {
    test('every flag is explained', () => {
      for (const c of file.cases) for (const flag of c.flags) expect(Object.keys(file.notes)).toContain(flag);
    });
    test.each(file.cases.map((c) => [c.name, c] as const))('%s', (_, c) => {
      const inputs = Object.fromEntries(Object.entries(c.inputs).map(([k, v]) => [k, decode(v)]));
      const got = runRef(c.op, inputs, c.options);
      const oracle = Object.fromEntries(Object.entries(c.outputs).map(([k, v]) => [k, decode(v)]));
      if (c.tolerance !== undefined) {
        for (const [name, want] of Object.entries(oracle)) {
          for (let i = 0; i < want.size; i++) {
            const error = Math.abs(got[name]!.data[i]! - want.data[i]!);
            expect(
              Object.is(got[name]!.data[i], want.data[i]) || error <= c.tolerance.absolute,
              `${name}[${i}]: off by ${error}`,
            ).toBe(true);
          }
        }
        return;
      }
      // The bounds need every output: what the oracle does not know is taken from the reference itself.
      const v = worstOf(
        Object.values(judge(c.op, { inputs, options: c.options, want: { ...got, ...oracle }, got })),
      );
      expect(v.verdict, v.message).not.toBe('FAIL');
    });
  });
}
