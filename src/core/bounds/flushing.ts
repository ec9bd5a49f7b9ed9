import { type Bound, minNormal } from '../bounds.ts';
import { Tensor, type TypedArray } from '../tensor.ts';

// A device may read a subnormal operand as zero and write zero for a subnormal result. Results are small, and so is the loss:
// sumBound counts 2^-126 for each term. (That is enough for the partial sums too: one that is subnormal, and not itself a term,
// came from a normal number, which lost nothing.) A factor that is read as zero takes its whole product along, however large
// the other factor is; that is what is counted here, per element and only where a factor is subnormal.

/** Not zero, and below the normal range of f32. */
export function isSubnormal(v: number): boolean {
  return v !== 0 && Math.abs(v) < minNormal;
}

/** What a product of two inputs loses when a subnormal factor is read as zero: all of it. */
export function lostProduct(a: number, b: number): number {
  return isSubnormal(a) || isSubnormal(b) ? Math.abs(a * b) : 0;
}

/**
 * What a sum of inputs may lose before it is a factor itself: 2^-126 for each. Numbers of at least 2^-102 are multiples of
 * 2^-125, and so is every rounded sum of them: then nothing subnormal can come up.
 */
export function lostSum(...terms: readonly number[]): number {
  const given = terms.filter((v) => v !== 0);
  return given.some((v) => Math.abs(v) < 2 ** -102) ? given.length * minNormal : 0;
}

/** A bound with what flushing takes away on top, per element. */
export function flushing({ fail, suspect = fail, why }: Bound, lost: ArrayLike<number>): Bound {
  return { fail: fail.map((v, i) => v + lost[i]!), suspect: suspect.map((v, i) => v + lost[i]!), why };
}

/** The tensor with zeros for all that is not subnormal; nothing where nothing is. */
export function subnormalsOf(t: Tensor): Tensor | undefined {
  if (!hasSubnormals(t.data)) return undefined;
  return new Tensor(t.dtype, t.shape, t.data.map((v) => (isSubnormal(v) ? v : 0)) as TypedArray);
}

/** True when an element is not zero and below the normal range of f32. */
export function hasSubnormals(values: TypedArray): boolean {
  return values.some((v: number) => isSubnormal(v));
}
