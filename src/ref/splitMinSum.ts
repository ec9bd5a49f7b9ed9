import { planSplitMinSum } from '../core/ops/splitMinSum.ts';
import { splitMinSumOf } from '../core/splitMinSum.ts';
import { type Outputs, outputs, Tensor } from '../core/tensor.ts';

/**
 * Each number as ab + c with the least a + b + c, for natural a <= b and c.
 *
 * @param n u32 [...]
 * @returns a, b, c and sum, u32, shaped like n
 * @throws DTypeError
 * @accuracy exact
 * @edge Of several best splits the one with the least a + b, which is the one with the largest c. n < 4: (0, 0, n).
 * @source kexue.fm/archives/9775; see docs/splitMinSum.md for what had to be repaired
 */
export function splitMinSum(n: Tensor): Outputs<{ a: Tensor; b: Tensor; c: Tensor; sum: Tensor }> {
  const { size } = planSplitMinSum(n);
  const [a, b, c, sum] = [0, 1, 2, 3].map(() => new Uint32Array(size)) as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  for (let i = 0; i < size; i++) {
    const split = splitMinSumOf(n.data[i]!);
    a[i] = split.a;
    b[i] = split.b;
    c[i] = split.c;
    sum[i] = split.sum;
  }
  const out = (data: Uint32Array): Tensor => new Tensor('u32', n.shape, data);
  return outputs({ a: out(a), b: out(b), c: out(c), sum: out(sum) });
}
