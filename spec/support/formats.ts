import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { encode } from '../../src/core/formats/dtypes.ts';
import { type DType, sizeOf, Tensor } from '../../src/core/tensor.ts';

interface VectorFile {
  readonly tensors: Readonly<Record<string, { dtype: DType; shape: number[]; hex: string }>>;
  readonly rewrites: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
}

const folder = new URL('../vectors/formats/', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, folder));

/** The files that Python wrote, and what they must be read as. See spec/vectors/make/formats.py. */
export const vectors: {
  path(name: string): string;
  bytes(name: string): Buffer;
  readonly files: Readonly<Record<string, VectorFile>>;
} = {
  path,
  bytes: (name: string): Buffer => readFileSync(path(name)),
  files: JSON.parse(readFileSync(path('formats.json'), 'utf8')).files,
};

/** Names of the vector files with an extension. */
export function vectorFiles(extension: string): string[] {
  return Object.keys(vectors.files).filter((name) => name.endsWith(`.${extension}`));
}

/** The elements' bits: comparing numbers would miss NaN payloads and the sign of zero. */
export function hexOf(t: Tensor): string {
  return Buffer.from(encode(t.data)).toString('hex');
}

const views = { f32: Float32Array, f64: Float64Array, i32: Int32Array, u32: Uint32Array } as const;

/** Tensors of any dtype, small shapes with zeros and rank 0, elements from raw bits, so every bit pattern occurs. */
export const anyTensor: fc.Arbitrary<Tensor> = fc
  .tuple(
    fc.constantFrom<DType[]>('f32', 'f64', 'i32', 'u32'),
    fc.array(fc.constantFrom<number[]>(0, 1, 1, 2, 3, 5), { maxLength: 4 }),
    fc.infiniteStream(fc.oneof(fc.constantFrom(0, 0x80, 0x7f, 0xff), fc.nat(255))),
  )
  .map(([dtype, shape, stream]) => {
    const View = views[dtype];
    const size = sizeOf(shape);
    const bytes = Uint8Array.from(stream.take(size * View.BYTES_PER_ELEMENT));
    return new Tensor(dtype, shape, new View(bytes.buffer));
  });

const name = fc.oneof(
  fc.constantFrom('x', '__proto__', 'constructor', '', '10', '"', '\\', '\u0000', '\uffee', '\u{1f600}'),
  fc.string({ unit: 'grapheme' }).filter((text) => text !== '__metadata__'),
);

/** Tensors with distinct names, odd ones included. */
export const namedTensors: fc.Arbitrary<[string, Tensor][]> = fc.uniqueArray(fc.tuple(name, anyTensor), {
  maxLength: 6,
  selector: ([key]) => key,
});
