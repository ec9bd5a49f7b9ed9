import type { Ops } from './ops/index.ts';
import type { AnyTensor, DType, Shape, Tensor } from './tensor.ts';

/**
 * What a model needs to run on either twin: the operators, a way in and a way out. `Gpu` is one, `refBackend` the other.
 */
export interface Backend<T extends AnyTensor> {
  readonly ops: Ops<T>;
  /** Bring a host tensor in. The result is owned by the caller. */
  upload(t: Tensor): T;
  /** A tensor of zeros. */
  zeros(dtype: DType, shape: Shape): T;
  /** Bring a tensor out; the waiting point. */
  read(t: T): Promise<Tensor>;
}
